"""The student as a graph that several engines start from: ONNX, and quantized by PT2E."""
