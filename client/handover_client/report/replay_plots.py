"""The plots of an open-loop evaluation: joints over time, and the error over time and chunk."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from handover_client.baselines import HOLD, MEAN_TRAJECTORY, TITLES
from handover_client.evaluation import POLICY
from handover_client.parts import Part
from handover_client.report.drawing import LIGHT, arrange, axes_grid, new_figure
from handover_client.trajectory import Trajectory

_COLUMNS = 2
_ROW_HEIGHT_IN = 1.15
_ROOM_ABOVE = 3  # a baseline's curve may go this far above the policy's before it is cut off
_FLATTEST = 0.1  # rad, or of a gripper's way
_WAY_COLOURS = {POLICY: "predicted", HOLD: "hold", MEAN_TRAJECTORY: "mean"}


def plot_joints(trajectory: Trajectory, part: Part, rate_hz: float) -> Figure:
    """Draw every value of a part over time: demonstrated, predicted, and where a chunk begins."""
    rows = -(-len(part.columns) // _COLUMNS)
    figure = new_figure(10, _ROW_HEIGHT_IN * rows + 0.7)
    axes = axes_grid(figure, rows, _COLUMNS)
    times_s = np.arange(len(trajectory.demonstrated)) / rate_hz
    for place, axis in enumerate(_down_the_columns(axes, rows)):
        if place >= len(part.columns):
            axis.set_axis_off()
            continue
        _draw_value(axis, trajectory, part.columns[place], times_s)
        axis.set_title(part.names[place].replace("_", " "))
        axis.set_ylabel(_unit(part.names[place]))
    for axis in axes[-_COLUMNS:]:
        axis.set_xlabel("time [s]")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return arrange(figure)


def plot_error_over_time(curves: Mapping[str, Sequence[float]], rate_hz: float) -> Figure:
    """Draw the mean per-step MSE of each way of predicting, over time."""
    figure = new_figure(10, 3)
    axis = figure.subplots()
    for way, errors in curves.items():
        times_s = np.arange(len(errors)) / rate_hz
        axis.plot(
            times_s,
            errors,
            color=LIGHT[_WAY_COLOURS[way]],
            label=TITLES.get(way, "policy"),
            linewidth=1.6 if way == POLICY else 1.1,
            linestyle="-" if way == POLICY else "--",
        )
    axis.set_xlabel("time [s]")
    axis.set_ylabel("MSE of a step")
    highest = _ROOM_ABOVE * max(curves[POLICY])
    axis.set_ylim(0, highest if 0 < highest < axis.get_ylim()[1] else None)
    figure.legend(loc="outside upper center", ncols=3)
    return arrange(figure)


def plot_error_in_chunk(errors: Sequence[float]) -> Figure:
    """Draw the policy's mean MSE at each place of the chunk."""
    figure = new_figure(10, 2.4)
    axis = figure.subplots()
    axis.bar(np.arange(len(errors)), errors, color=LIGHT["predicted"], width=0.7)
    axis.set_xticks(np.arange(len(errors)))
    axis.set_ylim(bottom=0)
    axis.set_xlabel("step of the chunk")
    axis.set_ylabel("MSE of a step")
    axis.grid(visible=False, axis="x")
    return arrange(figure)


def _down_the_columns(axes: Sequence[Axes], rows: int) -> list[Axes]:
    """List axes column by column: the left arm's joints beside the right arm's."""
    return [axes[row * _COLUMNS + column] for column in range(_COLUMNS) for row in range(rows)]


def _draw_value(axis: Axes, trajectory: Trajectory, column: int, times_s: np.ndarray) -> None:
    predicted = trajectory.predicted[:, column]
    asked = list(trajectory.inference_steps)
    axis.plot(
        times_s,
        trajectory.demonstrated[:, column],
        color=LIGHT["demonstrated"],
        linewidth=2.4,
        label="demonstrated",
    )
    axis.plot(times_s, predicted, color=LIGHT["predicted"], linewidth=1.1, label="predicted")
    axis.plot(
        times_s[asked],
        predicted[asked],
        linestyle="none",
        marker="o",
        markersize=2.8,
        color=LIGHT["asked"],
        label="new chunk",
    )
    axis.margins(x=0.01)
    low, high = axis.get_ylim()
    if high - low < _FLATTEST:  # a joint that rests is drawn at rest, not as magnified noise
        middle = (high + low) / 2
        axis.set_ylim(middle - _FLATTEST / 2, middle + _FLATTEST / 2)


def _unit(name: str) -> str:
    if "gripper" in name:
        return "0 … 1"
    return "rad" if "[" not in name else ""
