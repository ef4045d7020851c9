"""Draw what was measured, with OpenCV alone."""
