"""Resampling of recorded steps on the output's grid: positions, and each value's way in time."""
