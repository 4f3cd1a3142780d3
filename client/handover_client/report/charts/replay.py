"""Charts of an open-loop evaluation: joints over time, and the error over time and chunk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from handover_client.replay.baselines import HOLD, MEAN_TRAJECTORY, TITLES
from handover_client.replay.evaluation import POLICY
from handover_client.report.charts.svg import Bars, Chart, Dots, Line, around, scale

_ROOM_ABOVE = 3  # a baseline's curve may go this far above the policy's before it is cut off
_FLATTEST = 0.1  # rad, or of a gripper's travel: a joint at rest is not shown as magnified noise
_METHOD_ROLES = {POLICY: "predicted", HOLD: "hold", MEAN_TRAJECTORY: "mean"}


@dataclass(frozen=True)
class Track:
    """One episode's values of the headline part: (T, D) each, and where chunks begin."""

    predicted: np.ndarray
    demonstrated: np.ndarray
    inference_steps: Sequence[int]


def joint_charts(track: Track, names: Sequence[str], rate_hz: float) -> list[Chart]:
    """Draw every value over time: demonstrated, predicted, and where a chunk begins."""
    times_s = np.arange(len(track.predicted)) / rate_hz
    asked = list(track.inference_steps)
    charts = []
    for place, name in enumerate(names):
        predicted, demonstrated = track.predicted[:, place], track.demonstrated[:, place]
        values = np.concatenate([predicted, demonstrated])
        charts.append(
            Chart(
                "",
                scale("time, s", 0.0, float(times_s[-1]), 4),
                around(f"{name.replace('_', ' ')}, {_unit(name)}", values, _FLATTEST, 3),
                (
                    Line(times_s, demonstrated, "demonstrated", style="thick"),
                    Line(times_s, predicted, "predicted"),
                    Dots(times_s[asked], predicted[asked], "predicted", "ring"),
                ),
                height_px=100,
            )
        )
    return charts


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
    """Name the unit of a part's squared errors; grippers are fractions of their travel."""
    return "own units²" if any("[" in name for name in part["values"]) else "rad² (grippers 0 … 1)"


def _unit(name: str) -> str:
    if "gripper" in name:
        return "0 closed … 1 open"
    return "rad" if "[" not in name else "own unit"
