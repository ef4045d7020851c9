"""What is known of each object: its name, whether it is there, its frames so far."""
