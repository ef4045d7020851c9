"""Make ONNX files: fp32, fp16, int8."""
