"""Measure speed, memory and accuracy, and compare reports."""
