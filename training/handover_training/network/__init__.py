"""The network in training: base checkpoint, loss, LoRA, dropout, trained parts."""
