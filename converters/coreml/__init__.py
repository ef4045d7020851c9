"""Make Core ML packages, and run them where Core ML is absent."""
