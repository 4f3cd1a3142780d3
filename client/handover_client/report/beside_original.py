"""A replay's figures beside those of the original experiment, as rows of a table."""

from collections.abc import Mapping
from typing import Any

from handover_client.replay.original import ORIGINAL
from handover_client.replay.score_table import percent

_PARTS = ("slots_29", "joints_14")


def original_rows(figures: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """List (metric, [the original's, ours over 29 slots, ours over 14 joints]).

    Empty for a run that was not judged over the 29 slots: then nothing can be compared.
    """
    if any(part not in figures["parts"] for part in _PARTS):
        return []
    columns = [ORIGINAL, *(figures[part] for part in _PARTS)]
    rows = [
        ("MSE", [f"{column['mse']:.6f}" for column in columns]),
        ("MAE", [f"{column['mae']:.6f}" for column in columns]),
    ]
    for key, name in (("success_at", "success"), ("accuracy_at", "accuracy")):
        for limit in figures[_PARTS[0]][key]:
            shares = [column[key].get(limit) for column in columns]
            cells = ["–" if share is None else percent(share) for share in shares]
            rows.append((f"{name} @{limit}", cells))
    return [*rows, ("drift per step", [f"{column['drift']:+.6f}" for column in columns])]
