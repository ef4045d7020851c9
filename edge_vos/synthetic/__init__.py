"""Draw scenes with exact masks, for tests, benchmarks and verification."""
