"""Clips to train on: what they are read from, how they are made, how they reach the loop."""
