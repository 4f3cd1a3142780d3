"""Readiness of a server: health check and handshake, as rules that both clients follow.

What a server says about itself is checked before anything goes by it or shows it.

grpc.health.v1 is two tiny messages, so that the client needs no package for it: the request for the
whole server is empty, and a reply that says SERVING is field 1 (a varint) with the value 1.
"""

import time
from collections.abc import Iterable

from handover_common import is_printable, printable
from handover_proto import PROTOCOL_VERSION, DeadlinePassed, ServerInfo, ServerUnavailable
from handover_proto import policy_pb2 as pb
from handover_proto.wire import decode_info

from handover_client.errors import InvalidReply, WrongProtocol

HEALTH_METHOD = "/grpc.health.v1.Health/Check"
HEALTH_REQUEST = b""
_SERVING = b"\x08\x01"

MOST_TEXT = 1000  # characters of any name
MOST_GROUPS = 256
MOST_STEPS = 4096  # of a chunk, of a group's history, and of numbers in a group
MOST_PIXELS = 1 << 16  # of a side
RATES_HZ = (0.01, 10_000.0)

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


def check_server_info(info: ServerInfo) -> None:
    """Raise InvalidReply unless every number is one to go by, and every text one line.

    A rate of 0 is a server that does not know it; heights and widths likewise.
    """
    spec = info.spec
    if not spec.action or spec.horizon < 1:
        raise InvalidReply(
            "GetInfo",
            "action groups and a horizon of at least 1",
            f"{len(spec.action)} groups and a horizon of {spec.horizon}",
        )
    least, most = RATES_HZ
    if spec.rate_hz and not least <= spec.rate_hz <= most:  # NaN is neither
        raise InvalidReply("rate_hz", f"0, or {least:g} to {most:g} Hz", f"{spec.rate_hz}")
    _check_count("horizon", spec.horizon, MOST_STEPS)
    _check_count("first_step", spec.first_step, MOST_STEPS)
    _check_count("learned_delay_steps", spec.learned_delay_steps, spec.horizon)
    for kind in ("cameras", "state", "action"):
        groups = getattr(spec, kind)
        _check_count(kind, len(groups), MOST_GROUPS)
        names = [group.name for group in groups]
        if len(set(names)) < len(names):
            raise InvalidReply(kind, "each name once", f"{len(names) - len(set(names))} again")
        for group in groups:
            for number in ("dim", "steps"):
                _check_count(f"{kind}.{number}", getattr(group, number, 1), MOST_STEPS)
            for side in ("height", "width"):
                _check_count(f"{kind}.{side}", getattr(group, side, 0), MOST_PIXELS)
            _check_texts(kind, (group.name, getattr(group, "unit", "")))
    texts = (spec.policy, spec.checkpoint_name, spec.checkpoint_hash, spec.processor_hash)
    texts = (*texts, spec.embodiment_tag, spec.device, spec.dtype, spec.language_key)
    _check_texts("GetInfo", texts)
    _check_texts("server_version", (info.server_version,))
    for record in spec.training:
        _check_texts("training", (record.dataset_name, record.dataset_hash))


def check_text(field: str, text: str) -> None:
    """Raise InvalidReply unless a text is one line without control characters."""
    if len(text) > MOST_TEXT or not is_printable(text):
        raise InvalidReply(
            field, f"one line of up to {MOST_TEXT} characters", repr(printable(text[:40]))
        )


def _check_texts(field: str, texts: Iterable[str]) -> None:
    for text in texts:
        check_text(field, text)


def _check_count(field: str, count: int, most: int) -> None:
    if not 0 <= count <= most:
        raise InvalidReply(field, f"at most {most}", f"{count}")
