"""From dataset to checkpoint."""
