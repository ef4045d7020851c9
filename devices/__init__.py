"""Measure speed and memory on the device itself."""
