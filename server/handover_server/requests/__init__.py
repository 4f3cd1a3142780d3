"""Pending requests: their heads on the wire, their queue, their observers."""
