"""`edge-vos bench` and what it can measure: one bundle, many, operators, memory, sizes."""
