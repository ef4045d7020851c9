"""Write video: what a container holds, and who encodes it."""
