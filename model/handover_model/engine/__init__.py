"""The fast inference path: the same weights as functions of plain tensors, constants folded."""
