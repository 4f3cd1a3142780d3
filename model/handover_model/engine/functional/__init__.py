"""The network's computation with constants folded, as functions of tensors."""
