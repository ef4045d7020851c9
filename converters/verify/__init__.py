"""Compare an engine with PyTorch, call by call and over a whole clip."""
