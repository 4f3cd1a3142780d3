"""Training checkpoints: folders, writing, optimizer state, run record."""
