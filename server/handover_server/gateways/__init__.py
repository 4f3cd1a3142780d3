"""Clients that people already have: openpi's websocket and Isaac-GR00T's ZMQ."""
