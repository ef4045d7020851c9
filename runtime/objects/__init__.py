"""What is known of each object: its name, where and whether it is there, its frames so far."""
