"""Readiness of a server: health check and handshake, as rules that both clients follow.

grpc.health.v1 is two tiny messages, so that the client needs no package for it: the request for the
whole server is empty, and a reply that says SERVING is field 1 (a varint) with the value 1.
"""

import time

from handover_proto import PROTOCOL_VERSION, DeadlinePassed, ServerInfo, ServerUnavailable
from handover_proto import policy_pb2 as pb
from handover_proto.wire import decode_info

from handover_client.connection.info_check import check_server_info
from handover_client.errors import WrongProtocol

HEALTH_METHOD = "/grpc.health.v1.Health/Check"
HEALTH_REQUEST = b""
_SERVING = b"\x08\x01"

_LONGEST_ATTEMPT_S = 5.0
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0


class Patience:
    """Attempts to reach a server within a bound, with growing pauses between them."""

    errors = (ServerUnavailable, DeadlinePassed)  # worth another attempt; all others are final

    def __init__(self, address: str, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._deadline_s = time.monotonic() + timeout_s
        self._pause_s = _FIRST_PAUSE_S
        self._reason: Exception | None = None

    def attempt_s(self) -> float:
        """Return the time that the next attempt may take."""
        return max(0.001, min(_LONGEST_ATTEMPT_S, self._deadline_s - time.monotonic()))

    def pause_s(self, error: Exception) -> float:
        """Return the pause before the next attempt; raises ServerUnavailable when time is up."""
        # the last attempt may have no time for an answer: an earlier one's says more
        if self._reason is None or not isinstance(error, DeadlinePassed):
            self._reason = error
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise ServerUnavailable(
                f"no server ready at {self._address} within {self._timeout_s:g} s: {self._reason}"
            ) from error
        pause_s = min(self._pause_s, left_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        return pause_s


def check_health(reply: bytes, address: str) -> None:
    """Raise ServerUnavailable unless the health service says SERVING."""
    if reply != _SERVING:
        raise ServerUnavailable(f"the server at {address} is starting or draining; try again later")


def check_info(reply: pb.GetInfoReply, address: str) -> ServerInfo:
    """Read GetInfo's reply.

    Raises WrongProtocol for another protocol version, InvalidReply for what no client
    can go by.
    """
    if reply.protocol_version != PROTOCOL_VERSION:
        raise WrongProtocol(address, reply.protocol_version)
    info = decode_info(reply)
    check_server_info(info)
    return info
