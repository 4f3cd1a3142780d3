"""Tokens, TLS, and the addresses at which a server may listen."""
