"""Robots that can be driven: their interface, their registry, and the simulated ALOHA."""
