"""`segment` and `live`, and what they share."""
