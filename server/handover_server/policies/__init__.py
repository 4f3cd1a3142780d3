"""Policies that the server can run: hold, replay, GR00T."""
