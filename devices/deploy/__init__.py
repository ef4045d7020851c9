"""Put a bundle on another device, check and measure it there."""
