"""Checkpoint folders: weights, configuration, hashes, metadata, model card."""
