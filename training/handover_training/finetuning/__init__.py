"""Finetuning: configuration, modality config, and one run from start to finish."""
