"""The network's computation as functions of tensors, with constants folded."""
