"""Connections of strangers: how many, and what came on them without becoming a message."""
