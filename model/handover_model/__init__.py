"""GR00T N1.6 in PyTorch: the network, its processor and its checkpoints."""
