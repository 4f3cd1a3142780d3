"""The training loop: trainer, validation, sharded state, progress."""
