"""Read what a machine says of itself: memory, clocks, heat, power."""
