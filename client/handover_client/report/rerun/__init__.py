"""Recordings for the rerun.io viewer: of runs that have ended, and of a drive as it happens."""
