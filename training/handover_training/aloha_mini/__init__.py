"""The recipe of the shipped checkpoint, end to end."""
