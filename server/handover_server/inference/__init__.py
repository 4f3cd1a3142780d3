"""From admitted request to checked output: decoding, batching, warm-up, reload."""
