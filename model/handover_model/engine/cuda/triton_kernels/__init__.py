"""Triton kernels for small batches."""
