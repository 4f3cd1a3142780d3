"""Training data of the base: snapshots of scripted episodes."""
