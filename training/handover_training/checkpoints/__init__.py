"""Training checkpoints: folders, writing, optimizer state, training record, run folder."""
