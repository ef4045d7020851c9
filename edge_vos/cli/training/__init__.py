"""`train`, `distill` and `ablate`, and what they share."""
