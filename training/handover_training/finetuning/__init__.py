"""Finetuning: settings, modality config, plan, and one run from start to finish."""
