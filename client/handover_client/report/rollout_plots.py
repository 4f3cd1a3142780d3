"""The plots of a rollout: success by start pose, the funnel over time, and time to success."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from handover_client.report.drawing import LIGHT, new_figure


def plot_start_poses(episodes: Sequence[Mapping[str, Any]], objects: Sequence[str]) -> Figure:
    """Draw where each object lay at the start, and whether the episode succeeded."""
    figure = new_figure(10, 4.2)
    poses = np.array([each["start_poses"] for each in episodes])  # (episodes, objects, 7)
    success = np.array([each["success"] for each in episodes])
    axes = figure.subplots(1, len(objects), squeeze=False)[0]
    for place, (axis, name) in enumerate(zip(axes, objects, strict=True)):
        for outcome, colour, marker, label in (
            (True, "good", "o", "success"),
            (False, "bad", "X", "failure"),
        ):
            chosen = poses[success == outcome, place, :2]
            axis.scatter(
                *chosen.T,
                color=LIGHT[colour],
                marker=marker,
                s=42,
                linewidth=0,
                alpha=0.85,
                label=f"{label} ({len(chosen)})",
            )
        axis.set_title(f"{name} at the start")
        axis.set_xlabel("x [m], to the right arm")
        axis.set_ylabel("y [m]")
        axis.set_aspect("equal", adjustable="datalim")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure


def plot_rewards_over_time(
    first_steps: Sequence[Mapping[int, int]], max_steps: int, control_rate_hz: float
) -> Figure:
    """Draw the share of episodes that have reached each reward, over simulated time."""
    figure = new_figure(10, 3)
    axis = figure.subplots()
    colours = ("demonstrated", "hold", "predicted", "good")
    end_s = max_steps / control_rate_hz
    for reward, colour in enumerate(colours, start=1):
        times_s = sorted(
            steps[reward] / control_rate_hz for steps in first_steps if reward in steps
        )
        shares = 100 * np.arange(len(times_s) + 1) / len(first_steps)
        axis.step(
            [0.0, *times_s, end_s],
            [*shares, shares[-1]],
            where="post",
            color=LIGHT[colour],
            linewidth=2.2 if reward == len(colours) else 1.3,
            label=f"reward {reward}" + (" (success)" if reward == len(colours) else ""),
        )
    axis.set_xlim(0, end_s)
    axis.set_ylim(0, 102)
    axis.set_xlabel("simulated time [s]")
    axis.set_ylabel("episodes [%]")
    figure.legend(loc="outside upper center", ncols=4)
    return figure
