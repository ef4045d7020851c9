"""Carry the masks of a few given frames to all the others."""
