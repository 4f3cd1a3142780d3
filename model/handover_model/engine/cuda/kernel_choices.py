"""Which kernel a clock preferred, kept from start to start beside what was compiled with it.

Two that are about as fast would win in turn, and the compiler would not find its code again.
"""

import json
from collections.abc import Collection
from pathlib import Path

from handover_common import write_text

Cut = tuple[int, ...]
Known = dict[tuple[str | int, ...], Cut | None]
"""What was found for a shape and type: the fastest cut, or None for the library"""


def read_choices(path: Path, cuts: Collection[Cut]) -> Known:
    """Read what an earlier start found among these cuts; nothing where the file is not so."""
    try:
        found = {
            tuple(key): None if cut is None else tuple(cut)
            for key, cut in json.loads(path.read_text(encoding="utf-8"))
        }
    except (OSError, TypeError, ValueError):
        return {}
    return {key: cut for key, cut in found.items() if cut is None or cut in cuts}


def write_choices(known: Known, path: Path) -> None:
    """Write what is known, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(list(known.items())) + "\n")
