"""What a robot was told under a fault, read from the dataset that `handover drive` recorded."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

_EVERY = 10  # rows of the dataset between two of a finding's
_SHORT_S = 0.1  # what is left out of the words
_SLACK = 1e-6  # of single precision


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    robot: str
    fault: str
    injected: str
    told: str
    """What the robot was told, in words."""
    ended: str
    """How the episode ended, as `handover drive` names it."""
    outside: int
    """Commands outside the limits of position, velocity or acceleration."""
    steps: list[str]
    """Fifths of a second of the joint that moved most, in rad: what it was told, where it was."""


def told(robot: str, fault: str, injected: str, driven: Path, number: int) -> Finding:
    """Read an episode of a session, and judge every command by the robot's own limits."""
    import pyarrow.parquet as pq

    path = driven / f"data/chunk-000/episode_{number:06d}.parquet"
    rows = {name: np.array(values) for name, values in pq.read_table(path).to_pydict().items()}
    about = json.loads((driven / "meta/drive.json").read_text())
    episode, period_s = about["episodes"][number], 1 / about["control_rate_hz"]
    outside = count_outside(rows["action"], rows["late_ms"], about["limits"], period_s)
    joint = int(np.argmax(np.ptp(rows["action"], axis=0)))
    steps = [
        f"{row * period_s:.1f} s {'held' if rows['held'][row] else 'driven'}"
        f"{', guarded' if rows['guarded'][row] else ''}: "
        f"{about['joints'][joint]} told {rows['action'][row, joint]:.3f}, "
        f"at {rows['observation.state'][row, joint]:.3f}"
        for row in range(0, len(rows["action"]), _EVERY)
    ]
    guard = ", ".join(f"{name} {count}" for name, count in episode["guard"].items())
    words = f"{course(rows['held'], period_s)}; guard: {guard or 'nothing'}"
    ended = " ".join(filter(None, (episode["ended"], episode["outcome"])))
    return Finding(robot, fault, injected, words, ended, outside, steps)


def course(held: np.ndarray, period_s: float) -> str:
    """Say when it was driven and when it held: "driven 2.0 s, held 3.1 s, driven 1.4 s"."""
    parts: list[list[Any]] = []
    for is_held, group in groupby(held):
        seconds = len(list(group)) * period_s
        word = "held" if is_held else "driven"
        if parts and (seconds < _SHORT_S or parts[-1][0] == word):
            parts[-1][1] += seconds
        else:
            parts.append([word, seconds])
    return ", ".join(f"{word} {seconds:.1f} s" for word, seconds in parts if seconds >= _SHORT_S)


def count_outside(
    action: np.ndarray, late_ms: np.ndarray, limits: dict[str, Sequence[float]], period_s: float
) -> int:
    """Count the commands, (T, D), that leave the limits.

    Rows of missed steps repeat the command before; the next one moves off from rest.
    """
    made = np.flatnonzero(np.append(True, np.diff(late_ms) != 0))
    commands = action[made].astype(np.float64)
    low, high, velocity, acceleration = (
        np.array([np.inf if value is None else value for value in limits[name]])
        for name in ("low", "high", "velocity", "acceleration")
    )
    slack = _SLACK * max(1.0, float(np.abs(np.nan_to_num(commands)).max()))
    wrong = ~np.isfinite(commands) | (commands < low - slack) | (commands > high + slack)
    speed = np.diff(commands, axis=0) / period_s
    wrong[1:] |= np.abs(speed) > velocity + 2 * slack / period_s
    rested = np.diff(made)[1:] > 1
    change = (speed[1:] - np.where(rested[:, None], 0.0, speed[:-1])) / period_s
    wrong[2:] |= np.abs(change) > acceleration + 4 * slack / period_s**2
    return int(wrong.any(axis=1).sum())
