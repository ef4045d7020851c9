"""Turn the student into bundles that a device runs, and prove them equal."""
