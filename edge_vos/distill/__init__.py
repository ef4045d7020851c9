"""Train the student, and measure it by the DAVIS protocol."""
