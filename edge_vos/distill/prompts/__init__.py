"""Training of the prompt head."""
