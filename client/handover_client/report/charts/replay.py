"""Charts of an open-loop evaluation: the error over time, and within a chunk."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from handover_client.replay.baselines import HOLD, MEAN_TRAJECTORY, TITLES
from handover_client.replay.evaluation import POLICY
from handover_client.report.charts.svg import Bars, Chart, Line, scale

_ROOM_ABOVE = 3  # a baseline's curve may go this far above the policy's before it is cut off
_METHOD_ROLES = {POLICY: "predicted", HOLD: "hold", MEAN_TRAJECTORY: "mean"}


def error_over_time_chart(
    curves: Mapping[str, Sequence[float]], rate_hz: float, unit: str
) -> Chart:
    """Draw the mean per-step MSE of each prediction method, over time."""
    longest = max(len(errors) for errors in curves.values())
    highest = max(max(errors) for errors in curves.values())
    own = _ROOM_ABOVE * max(curves[POLICY])
    top = min(highest, own) if own > 0 else highest
    return Chart(
        "Error over time",
        scale("time, s", 0.0, (longest - 1) / rate_hz, 8),
        scale(f"MSE of a step, {unit}", 0.0, 1.05 * top or 1.0, 4),
        tuple(
            Line(
                np.arange(len(errors)) / rate_hz,
                errors,
                _METHOD_ROLES[method],
                TITLES.get(method, "the policy"),
                "" if method == POLICY else "dashed",
            )
            for method, errors in curves.items()
        ),
        height_px=220,
    )


def error_in_chunk_chart(errors: Sequence[float], unit: str) -> Chart:
    """Draw the policy's mean MSE at each place of the chunk."""
    places = np.arange(len(errors))
    return Chart(
        "Error within a chunk",
        scale("step of the chunk, counted from 0", -0.6, len(errors) - 0.4, 8),
        scale(f"MSE of a step, {unit}", 0.0, 1.05 * max(errors) or 1.0, 4),
        (Bars(places - 0.36, places + 0.36, errors, "predicted"),),
        height_px=160,
    )


def squared_unit(part: Mapping[str, Any]) -> str:
    """Name the unit of a part's squared errors, by the units that the server stated."""
    units = dict.fromkeys(part.get("units") or ("",))  # older runs have no record of them
    if "" in units:
        return "in the values' own units"
    return ", ".join(f"{unit}²" if unit.isalpha() else f"({unit})²" for unit in units)
