"""Charts of a rollout: rewards reached over time, and success by start pose."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from handover_client.report.charts.svg import Chart, Dots, Line, Scale, scale

_REWARD_ROLES = ("hold", "mean", "predicted", "good")
_ROUND_M = 0.1  # gym-aloha draws the objects' places from boxes whose edges are such multiples


def rewards_chart(
    first_steps: Sequence[Mapping[int, int]], max_steps: int, control_rate_hz: float
) -> Chart:
    """Draw the share of episodes that have reached each reward, over simulated time."""
    end_s = max_steps / control_rate_hz
    lines = []
    for reward, role in enumerate(_REWARD_ROLES, start=1):
        times_s = [steps[reward] / control_rate_hz for steps in first_steps if reward in steps]
        last = reward == len(_REWARD_ROLES)
        label, style = ("4, success", "strong") if last else (f"reward {reward}", "")
        lines.append(share_line(times_s, len(first_steps), end_s, role, label, style))
    return Chart(
        "Rewards over time",
        scale("simulated time, s", 0.0, end_s, 8),
        scale("episodes that reached it, %", 0.0, 102.0, 4),
        tuple(lines),
        height_px=220,
    )


def sequence_chart(anytime_95: Sequence[Sequence[float]], successes: Sequence[bool]) -> Chart:
    """Draw how the success rate's anytime-valid interval narrowed from episode to episode."""
    played = np.arange(1, len(successes) + 1)
    ends = 100 * np.asarray(anytime_95, np.float64)
    rate = 100 * np.cumsum(successes) / played
    return Chart(
        "Success rate as it became known",
        scale("episodes, counted", 1.0, float(max(2, len(successes))), 8),
        scale("success, %", 0.0, 102.0, 4),
        (
            Line(played, ends[:, 0], "hold", "95 % interval"),
            Line(played, ends[:, 1], "hold", ""),
            Line(played, rate, "good", "success so far", "strong"),
        ),
        height_px=200,
    )


def share_line(
    times_s: Sequence[float], episodes: int, end_s: float, role: str, label: str, style: str = ""
) -> Line:
    """Draw the share of `episodes` to which something has happened, at these times, in %."""
    shares = 100 * np.arange(len(times_s) + 1) / episodes
    # a step at each time: the share before it and after it
    x = [0.0, *np.repeat(sorted(times_s), 2), end_s]
    return Line(x, np.repeat(shares, 2), role, label, style)


def start_pose_charts(episodes: Sequence[Mapping[str, Any]], objects: Sequence[str]) -> list[Chart]:
    """Draw where each object lay at the start, seen from above, and what came of the episode."""
    poses = np.array([each["start_poses"] for each in episodes])  # (episodes, objects, 7)
    success = np.array([each["success"] for each in episodes], bool)
    charts = []
    for place, name in enumerate(objects):
        x, y = square_scales(poses[:, place, :2])
        charts.append(
            Chart(
                f"{name} at the start",
                x,
                y,
                (
                    Dots(*poses[~success, place, :2].T, role="bad", shape="cross"),
                    Dots(*poses[success, place, :2].T, role="good"),
                ),
                height_px=300,
                square=True,
            )
        )
    return charts


def square_scales(points: np.ndarray) -> tuple[Scale, Scale]:
    """Make two axes of one length, in meters, around points (N, 2), ending at round numbers."""
    low = np.floor(points.min(axis=0) / _ROUND_M) * _ROUND_M
    high = np.ceil(points.max(axis=0) / _ROUND_M) * _ROUND_M
    middle, half = (low + high) / 2, float((high - low).max()) / 2
    x, y = (
        scale(title, float(middle[axis] - half), float(middle[axis] + half), 4)
        for axis, title in enumerate(("x, m, towards the right arm", "y, m, along the table"))
    )
    return x, y
