"""Gateways for the clients of openpi and Isaac-GR00T."""
