"""The GR00T N1.6 network in PyTorch."""
