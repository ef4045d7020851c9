"""Run a bundle on live video: numpy and OpenCV, no torch."""
