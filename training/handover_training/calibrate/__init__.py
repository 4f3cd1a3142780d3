"""The command `handover calibrate`: FP8 scales from a dataset."""
