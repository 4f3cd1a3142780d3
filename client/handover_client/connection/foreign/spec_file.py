"""What a server's protocol does not tell, as its user tells it: the file of --spec.

{"rate_hz": 20, "horizon": 16, "cameras": {"cam_high": [480, 640]},
 "state": {"left_arm": [6, "rad"]}, "action": {"left_arm": [6, "rad"]}}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handover_common import UsageError
from handover_proto import UnmetPrecondition

_MOST_BYTES = 1 << 20
_KEYS = ("rate_hz", "horizon", "cameras", "state", "action")


@dataclass(frozen=True)
class ToldSpec:
    """A policy as told by its user.

    cameras: {name: (height, width)}, 0 where any will do; state, action: {group: (dim, unit)} in
    the order of their values; None is what was not told
    """

    rate_hz: float | None = None
    horizon: int | None = None
    cameras: Mapping[str, tuple[int, int]] | None = None
    state: Mapping[str, tuple[int, str]] | None = None
    action: Mapping[str, tuple[int, str]] | None = None
    file: str = field(default="", compare=False)


class NotTold(UnmetPrecondition):
    """A server whose protocol does not tell what is needed; names it, and shows a file to fill."""

    def __init__(self, address: str, what: str, template: Mapping[str, Any]) -> None:
        super().__init__(
            f"the protocol of {address} does not tell {what}: write it to a file and name that "
            "with --spec FILE (docs/gateways.md); with what is known so far it begins as:"
        )
        pairs = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in template.items()]
        self._template = ["{", *",\n".join(pairs).splitlines(), "}"]

    def lines(self) -> list[str]:
        """See HandoverError."""
        return [*super().lines(), *self._template]


def read_spec_file(path: Path) -> ToldSpec:
    """Read the file of --spec; raises UsageError naming what is wrong in it."""
    try:
        data = path.read_bytes()[: _MOST_BYTES + 1]
        told = json.loads(data)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"--spec {path} cannot be read as JSON: {reason}") from None
    if not isinstance(told, dict) or len(data) > _MOST_BYTES:
        raise _wrong(path, "the file", "an object of at most 1 MiB", type(told).__name__)
    if unknown := sorted(set(told) - set(_KEYS)):
        raise _wrong(path, "the file", f"only {', '.join(_KEYS)}", ", ".join(unknown)[:100])
    rate_hz, horizon = told.get("rate_hz"), told.get("horizon")
    if rate_hz is not None and (type(rate_hz) not in (int, float) or not 0.01 <= rate_hz <= 1e4):
        raise _wrong(path, "rate_hz", "the chunk's steps per second, 0.01 to 10000", rate_hz)
    if horizon is not None and (type(horizon) is not int or not 1 <= horizon <= 4096):
        raise _wrong(path, "horizon", "the chunk's steps, 1 to 4096", horizon)
    return ToldSpec(
        None if rate_hz is None else float(rate_hz),
        horizon,
        _cameras(path, told.get("cameras")),
        _groups(path, "state", told.get("state")),
        _groups(path, "action", told.get("action")),
        str(path),
    )


def _cameras(path: Path, cameras: Any) -> dict[str, tuple[int, int]] | None:
    if cameras is None:
        return None
    expected = "{NAME: [HEIGHT, WIDTH]} in pixels, 0 for any"
    if not isinstance(cameras, dict):
        raise _wrong(path, "cameras", expected, cameras)
    for name, size in cameras.items():
        is_pair = isinstance(size, list) and len(size) == 2
        if not is_pair or not all(type(side) is int and 0 <= side <= 4096 for side in size):
            raise _wrong(path, f"cameras.{name}", expected, size)
    return {name: (size[0], size[1]) for name, size in cameras.items()}


def _groups(path: Path, kind: str, groups: Any) -> dict[str, tuple[int, str]] | None:
    if groups is None:
        return None
    expected = '{NAME: [NUMBERS, "UNIT"]}, such as {"left_arm": [6, "rad"]}'
    if not isinstance(groups, dict) or not groups:
        raise _wrong(path, kind, expected, groups)
    for name, group in groups.items():
        is_pair = isinstance(group, list) and len(group) == 2
        if not is_pair or type(group[0]) is not int or not isinstance(group[1], str):
            raise _wrong(path, f"{kind}.{name}", expected, group)
        if not 1 <= group[0] <= 4096:
            raise _wrong(path, f"{kind}.{name}", "1 to 4096 numbers", group[0])
    return {name: (group[0], group[1]) for name, group in groups.items()}


def _wrong(path: Path, where: str, expected: str, got: Any) -> UsageError:
    return UsageError(f"--spec {path}: {where}: expected {expected}, got {str(got)[:100]}")
