"""Decoding, resizing and encoding video frames."""
