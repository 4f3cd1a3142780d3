"""FP8 linear layers and their scales."""
