"""What keeps a server from starting."""

from handover_proto.errors import HandoverError


class ServingError(HandoverError):
    """The server cannot start: a port that is taken, an address that it may not listen on."""
