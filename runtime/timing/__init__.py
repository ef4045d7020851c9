"""Latencies of one frame and of a whole run."""
