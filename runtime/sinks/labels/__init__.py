"""Labels for other tools, a format a file."""
