"""What an interrupted run has finished, one with other choices does not throw away."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from handover_conversion import DatasetError

PLAN = "plan.json"


def read_plan(folder: Path) -> dict[str, Any] | None:
    """Read what decides the result of the run that works, or worked, in a folder."""
    try:
        return json.loads((folder / PLAN).read_bytes())
    except (OSError, ValueError):
        return None


def refuse_other_plan(
    folder: Path,
    former: Mapping[str, Any] | None,
    plan: Mapping[str, Any],
    finished: int,
    remedy: str,
) -> NoReturn:
    """Raise DatasetError, naming the first thing in which a plan is not the former one."""
    change = _find_change(former or {}, plan) or "plan"
    raise DatasetError(
        f"{folder} holds {finished} episodes of an interrupted run with another {change}: "
        f"finish that, {remedy}"
    )


def _find_change(former: Any, plan: Any, name: str = "") -> str | None:
    if not (isinstance(former, Mapping) and isinstance(plan, Mapping)):
        return None if former == plan else f"{name} ({_short(former)}, now {_short(plan)})"
    changes = (
        _find_change(former.get(key), plan.get(key), f"{name}.{key}" if name else str(key))
        for key in dict.fromkeys((*former, *plan))
    )
    return next((change for change in changes if change is not None), None)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
