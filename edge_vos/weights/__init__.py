"""The shipped student: weights, model card and the default bundle."""
