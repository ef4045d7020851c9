"""Make LiteRT files: fp32, fp16, int8."""
