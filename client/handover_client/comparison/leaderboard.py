"""Leaderboards: several runs as rows, with intervals, and every pair tested on what both played.

Runs that are not over the same task in the same world, or the same recordings, are in boards of
their own. With several pairs the chance of a false alarm grows, so p-values of a board are Holm's
(Scandinavian Journal of Statistics 6, 1979): at most 5 % of boards without a difference show one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from handover_client.errors import EvaluationError
from handover_client.replay.figures import HEADLINE_THRESHOLD
from handover_client.results.formatting import clock_name, percent, policy_name, world_name
from handover_client.results.run_folder import outcomes_by_seed
from handover_client.results.statistics import bootstrap_95, pair


@dataclass(frozen=True)
class Row:
    """One run: its place, its success with a 95 % interval, and what else a reader weighs."""

    run: Path
    policy: str
    checkpoint: str  # the first digits of its hash
    played: str  # how it was played, in words
    episodes: int
    success: float
    interval: tuple[float, float] | None
    further: tuple[str, ...]  # a cell for each of the board's further columns
    costs: tuple[str, ...]  # of COSTS


@dataclass(frozen=True)
class Test:
    """One pair of a board: the row's success minus the column's, on what both played."""

    difference: float | None  # None where they share nothing
    words: str
    differs: bool = False


@dataclass(frozen=True)
class Board:
    """Runs that may be compared, the best first; tests[row][column] are of the pairs."""

    title: str
    note: str
    further: tuple[str, ...]
    rows: tuple[Row, ...]
    tests: tuple[tuple[Test | None, ...], ...]


COSTS = ("chunk, p50 ms", "p95 ms", "wall s / episode", "computed on")


def leaderboards(runs: Sequence[tuple[Path, Mapping[str, Any]]]) -> tuple[Board, ...]:
    """Make a board for each task and world, and each set of recordings.

    runs: (place, metrics.json) of each

    Raises EvaluationError for a run of another kind, or of a version that lacks a figure.
    """
    groups: dict[tuple[object, ...], list[tuple[Path, Mapping[str, Any]]]] = {}
    for place, figures in runs:
        try:
            groups.setdefault(_what(figures), []).append((place, figures))
        except (KeyError, TypeError) as error:
            raise EvaluationError(
                f"{place} holds a run that a table cannot show ({type(error).__name__}: {error}); "
                "expected runs of handover replay or handover rollout"
            ) from None
    return tuple(_board(members) for members in groups.values())


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values of several tests: Holm's step-down, in the order given."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def _what(figures: Mapping[str, Any]) -> tuple[object, ...]:
    """What a run is about: runs that agree in it share a board."""
    if figures["kind"] == "rollout":
        settings = figures["settings"]
        what = settings["task"], settings["max_steps"], figures["instruction"]
        return "rollout", *what, settings.get("change", "")
    if figures["kind"] == "replay":
        dataset = figures["provenance"]["dataset"]
        key = dataset["hash"] or dataset["name"]
        return "replay", key, figures["headline"], tuple(figures["episodes"]), figures["steps"]
    raise KeyError(figures["kind"])


def _board(runs: Sequence[tuple[Path, Mapping[str, Any]]]) -> Board:
    make, test = _MAKERS[runs[0][1]["kind"]]
    try:
        rows = [(make(place, figures), figures) for place, figures in runs]
        rows.sort(key=lambda each: -each[0].success)
        tests = test([figures for _, figures in rows])
    except (KeyError, TypeError, ValueError) as error:
        places = ", ".join(str(place) for place, _ in runs)
        raise EvaluationError(
            f"{places}: a run that this version cannot put into a table "
            f"({type(error).__name__}: {error})"
        ) from None
    return Board(
        *_heading(runs[0][1]), rows=tuple(row for row, _ in rows), tests=_matrix(len(rows), tests)
    )


def _heading(figures: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    if figures["kind"] == "rollout":
        return (
            f"{figures['settings']['task'].replace('_', ' ')}, closed loop{world_name(figures)}",
            f"“{figures['instruction']}”, up to {figures['settings']['max_steps']} steps. "
            "Intervals are Wilson's; pairs are tested by McNemar's exact test on the seeds that "
            "both played.",
            ("strict success", "time to success, s"),
        )
    return (
        f"{figures['provenance']['dataset']['name']}, open loop",
        f"Success is the share of steps with every value within {HEADLINE_THRESHOLD} of the "
        "demonstrated one; intervals are bootstrapped over the trajectories, and a pair differs "
        "where the interval of its difference leaves 0 out.",
        ("MAE", "MSE"),
    )


def _rollout_row(place: Path, figures: Mapping[str, Any]) -> Row:
    time = figures["time_to_success_s"]
    low, high = figures["wilson_95"]
    return Row(
        **_common(place, figures),
        played=clock_name(figures),
        success=figures["success_rate"],
        interval=(low, high),
        episodes=figures["episodes"],
        further=(
            percent(figures["strict"]["success_rate"]),
            f"{time['p50']:.2f}" if time else "–",
        ),
        costs=_costs(figures, figures["wall_s"] / figures["episodes"]),
    )


def _replay_row(place: Path, figures: Mapping[str, Any]) -> Row:
    own = figures[figures["headline"]]
    interval = own["interval_95"][f"success_at_{HEADLINE_THRESHOLD}"]
    return Row(
        **_common(place, figures),
        played=f"a new chunk every {figures['action_horizon']} steps",
        success=own["success_at"][HEADLINE_THRESHOLD],
        interval=tuple(interval) if interval else None,
        episodes=len(figures["episodes"]),
        further=(f"{own['mae']:.4f}", f"{own['mse']:.5f}"),
        costs=_costs(figures, None),
    )


def _common(place: Path, figures: Mapping[str, Any]) -> dict[str, Any]:
    server = figures["provenance"]["server"]
    digest = server["checkpoint_hash"][:12] if server else ""
    return {"run": place, "policy": policy_name(figures), "checkpoint": digest}


def _costs(figures: Mapping[str, Any], wall_s: float | None) -> tuple[str, ...]:
    server, latency = figures["provenance"]["server"], figures["latency_ms"]
    client = latency["client"] if latency else None
    steps = server and server["denoising_steps"]
    computed = [server["device"], server["dtype"], steps and f"{steps} denoising steps"]
    return (
        f"{client['p50']:.1f}" if client else "–",
        f"{client['p95']:.1f}" if client else "–",
        "–" if wall_s is None else f"{wall_s:.1f}",
        ", ".join(filter(None, computed)) if server else "–",
    )


def _rollout_tests(runs: Sequence[Mapping[str, Any]]) -> list[Test]:
    seeds = [outcomes_by_seed(run) for run in runs]
    counted = [
        pair((first[seed], second[seed]) for seed in first if seed in second)
        for first, second in combinations(seeds, 2)
    ]
    p_values = iter(holm([counts.p_value for counts in counted if _played(counts)]))
    tests = []
    for counts in counted:
        if not _played(counts):
            tests.append(Test(None, "no seed in both"))
            continue
        p = next(p_values)
        written = f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"
        difference = (counts.only_a - counts.only_b) / _played(counts)
        tests.append(Test(difference, f"{written}, {_played(counts)} seeds", p < 0.05))
    return tests


def _played(counts: Any) -> int:
    return counts.both + counts.only_a + counts.only_b + counts.neither


def _replay_tests(runs: Sequence[Mapping[str, Any]]) -> list[Test]:
    tests = []
    for first, second in combinations(runs, 2):
        shares, steps = [], []
        for a, b in zip(first["per_trajectory"], second["per_trajectory"], strict=True):
            own, other = a[first["headline"]], b[first["headline"]]
            one, two = (each["success_at"][HEADLINE_THRESHOLD] for each in (own, other))
            shares.append(one - two)
            steps.append(a["steps"])
        interval = bootstrap_95(shares, steps)
        difference = float(np.average(shares, weights=steps))
        if interval is None:
            tests.append(Test(difference, "one trajectory: no interval"))
            continue
        low, high = interval
        words = f"{100 * low:+.1f} … {100 * high:+.1f}"
        tests.append(Test(difference, words, not low <= 0 <= high))
    return tests


def _matrix(size: int, tests: Sequence[Test]) -> tuple[tuple[Test | None, ...], ...]:
    """Lay the pairs (row before column) out; the other half is left empty."""
    cells: list[list[Test | None]] = [[None] * size for _ in range(size)]
    for (row, column), test in zip(combinations(range(size), 2), tests, strict=True):
        cells[row][column] = test
    return tuple(map(tuple, cells))


_MAKERS = {"rollout": (_rollout_row, _rollout_tests), "replay": (_replay_row, _replay_tests)}
