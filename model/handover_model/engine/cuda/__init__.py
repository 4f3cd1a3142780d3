"""Inference on an NVIDIA GPU: CUDA graphs and compiled kernels."""
