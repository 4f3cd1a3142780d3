"""Load generation, replay of recorded requests, and server information."""
