"""Checks of what a server says about itself, before a client goes by it or shows it."""

from collections.abc import Iterable

from handover_common import is_printable, printable
from handover_proto import ServerInfo

from handover_client.errors import InvalidReply

MOST_TEXT = 1000  # characters of any name
MOST_GROUPS = 256
MOST_STEPS = 4096  # of a chunk, of a group's history, and of numbers in a group
MOST_PIXELS = 1 << 16  # of a side
RATES_HZ = (0.01, 10_000.0)


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
    _check_texts("GetInfo", (*texts, spec.embodiment_tag, spec.device, spec.dtype))
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
