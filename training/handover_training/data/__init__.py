"""Training samples: episodes, windows, batches, cached frames."""
