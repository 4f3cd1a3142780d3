"""Errors that keep a server from starting, or from reloading a checkpoint."""

from handover_common import HandoverError


class ServingError(HandoverError):
    """The server cannot start: a port in use, an address that it may not listen on."""


class ReloadRefused(HandoverError):
    """Another checkpoint cannot replace the one being served."""
