"""Inference on a CPU: PyTorch or ONNX Runtime."""
