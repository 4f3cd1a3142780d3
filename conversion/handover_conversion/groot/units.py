"""Units of a dataset's groups, where its description or its modality.json states them."""

from typing import Any

from handover_conversion.groot.dataset import GrootDataset


def stated_units(dataset: GrootDataset) -> dict[str, str]:
    """Return {group: unit} of what is stated; a group whose state and action differ has none.

    Names say nothing: a group called left_arm may be in degrees. `handover convert` writes what the
    robot's description states into conversion.json.
    """
    record = (dataset.conversion or {}).get("embodiment")
    said = [_items(_dict(record).get("units"))]
    for kind in ("state", "action"):
        groups = _dict(dataset.modality.get(kind))
        said.append([(str(name), _dict(entry).get("unit")) for name, entry in groups.items()])
    found: dict[str, set[str]] = {}
    for group, unit in (one for part in said for one in part):
        if isinstance(unit, str) and unit:
            found.setdefault(group, set()).add(unit)
    return {group: units.pop() for group, units in found.items() if len(units) == 1}


def _items(value: object) -> list[tuple[str, Any]]:
    return [(str(name), one) for name, one in _dict(value).items()]


def _dict(value: object) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}
