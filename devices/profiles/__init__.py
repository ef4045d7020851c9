"""What is known of devices, as data."""
