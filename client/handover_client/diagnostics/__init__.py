"""Load generator, replay of recorded requests, and server information."""
