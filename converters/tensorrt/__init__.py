"""Make ONNX files that TensorRT takes."""
