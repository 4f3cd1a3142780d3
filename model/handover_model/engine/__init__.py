"""Inference engines: the reference path, and faster ones held against it."""
