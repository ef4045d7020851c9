"""What to calibrate on, what stays in float, and which modules int8 costs most."""
