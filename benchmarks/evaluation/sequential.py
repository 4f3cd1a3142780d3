"""What it costs and saves to stop an evaluation as soon as it is decided: by simulation.

    python -m benchmarks.evaluation.sequential

Coins stand for episodes. `stopped` is `rollout --until` and `compare --until-decided`: the interval
is looked at after every episode. `fixed` is the smallest number of episodes, decided before, with
which an exact test of the same error (binomial, McNemar) reaches the same power. In the rows
without a difference every decision is a false one: at most 5 % may decide, however often one looks.
"""

import json
from dataclasses import dataclass
from math import lgamma, log
from typing import Any

import numpy as np
import tyro
from handover_client.results.sequential import ERROR, bet_fractions

from benchmarks.harness.docs_table import DOCS, markdown, write_table
from benchmarks.harness.result_file import FOLDER, write_result

PAGE = DOCS.with_name("closed_loop.md")
HEADER = ("question", "true rates", "decided", "episodes until then", "fixed before", "saved")
THRESHOLD = 0.9
ONE = (("none", 0.9), ("worse", 0.75), ("better", 0.98), ("much worse", 0.5), ("perfect", 1.0))
PAIRS = (
    ("none, good", 0.9, 0.9),
    ("none, middling", 0.5, 0.5),
    ("95 against 80 %", 0.95, 0.80),
    ("90 against 60 %", 0.90, 0.60),
    ("80 against 30 %", 0.80, 0.30),
    ("100 against 93 %", 1.0, 0.93),
)


@dataclass(frozen=True)
class SequentialBenchmark:
    """Simulate evaluations that stop when they are decided."""

    runs: int = 4000
    """Simulated evaluations of each row"""
    episodes: int = 500
    """The most that one may play"""
    seed: int = 0
    name: str = "sequential"
    """The result goes to benchmarks/results/NAME.json"""
    table: bool = False
    """Only write the table of the last results into docs/closed_loop.md"""


def main(config: SequentialBenchmark) -> dict[str, Any]:
    """Simulate, print and write the result's JSON and the page's table."""
    if config.table:
        result = json.loads((FOLDER / f"{config.name}.json").read_text(encoding="utf-8"))
        write_table(config.name, page_part(result), PAGE)
        return result
    random = np.random.default_rng(config.seed)
    rows: list[dict[str, Any]] = []
    for name, rate in ONE:
        played = (random.random((config.runs, config.episodes)) < rate).astype(float)
        row = {"question": f"success > {THRESHOLD:g}", "difference": name, "rates": [rate]}
        rows.append({**row, **_judge(played, THRESHOLD, rate == THRESHOLD, config, random)})
    for name, first, second in PAIRS:
        shape = (config.runs, config.episodes)
        wins = (random.random(shape) < first).astype(float) - (random.random(shape) < second)
        row = {"question": "A against B", "difference": name, "rates": [first, second]}
        null = first == second
        rows.append({**row, **_judge((wins + 1) / 2, 0.5, null, config, random)})
    for row in rows:
        print(row)
    result = {
        "what": "episodes until decided, looked at after every one, beside a number fixed before",
        "error": ERROR,
        "runs": config.runs,
        "most_episodes": config.episodes,
        "rows": rows,
    }
    write_result(config.name, result)
    write_table(config.name, page_part(result), PAGE)
    return result


def page_part(result: dict[str, Any]) -> str:
    """Write the rows for the page."""
    return markdown(HEADER, [_cells(row) for row in result["rows"]])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    rates = " and ".join(f"{100 * rate:g} %" for rate in row["rates"])
    fixed, saved = row.get("fixed_episodes"), row.get("saved")
    return (
        row["question"],
        rates + (" (nothing to find)" if "saved" not in row else ""),
        f"{100 * row['decided']:.1f} %",
        f"{row['mean_episodes']:g}",
        "–" if fixed is None else str(fixed),
        "–" if saved is None else f"{100 * saved:.0f} %",
    )


def _judge(
    outcomes: np.ndarray,
    value: float,
    null: bool,
    config: SequentialBenchmark,
    random: np.random.Generator,
) -> dict[str, Any]:
    """Stop each run at its decision."""
    stops = np.array([_stop(run, value) for run in outcomes])
    decided = stops <= config.episodes
    figures: dict[str, Any] = {
        "decided": round(float(decided.mean()), 4),
        "mean_episodes": round(float(np.minimum(stops, config.episodes).mean()), 1),
    }
    if null:
        return figures
    fixed = _fixed(outcomes, value, float(decided.mean()))
    figures["fixed_episodes"] = fixed
    if fixed is not None:
        figures["saved"] = round(1 - figures["mean_episodes"] / fixed, 3)
    return figures


def _stop(outcomes: np.ndarray, value: float) -> int:
    """Give the episode at which the interval first excludes `value`; one more than all if never."""
    sides = ((outcomes, value), (1 - outcomes, 1 - value))
    return min(_refuted(seen, mean) for seen, mean in sides)


def _refuted(outcomes: np.ndarray, mean: float) -> int:
    """Give the episode at which bets on more than `mean` have made enough."""
    growth = np.cumsum(np.log1p(bet_fractions()[:, None] * (outcomes / mean - 1)), axis=1)
    top = growth.max(axis=0)
    capital = top + np.log(np.mean(np.exp(growth - top), axis=0))
    reached = np.flatnonzero(capital >= np.log(2 / ERROR))
    return int(reached[0]) + 1 if len(reached) else len(outcomes) + 1


def _fixed(outcomes: np.ndarray, value: float, power: float) -> int | None:
    """Find the smallest number of episodes with which the exact test decides as often."""
    for episodes in range(4, outcomes.shape[1] + 1):
        part = outcomes[:, :episodes]
        up, down = (part == 1.0).sum(axis=1), (part == 0.0).sum(axis=1)
        tail = _rejects(int((up + down).max()), value)
        if np.mean(tail[up + down, up]) >= power:
            return episodes
    return None


_TABLES: dict[float, np.ndarray] = {}


def _rejects(most: int, chance: float) -> np.ndarray:
    """Tell for n trials and k successes whether the exact two-sided test rejects `chance`."""
    known = _TABLES.get(chance)
    if known is not None and len(known) > most:
        return known
    size = max(most, 600) + 1
    table = np.zeros((size, size), bool)
    for trials in range(size):
        logs = [
            lgamma(trials + 1)
            - lgamma(k + 1)
            - lgamma(trials - k + 1)
            + k * log(chance)
            + (trials - k) * log(1 - chance)
            for k in range(trials + 1)
        ]
        mass = np.exp(logs)
        lower, upper = np.cumsum(mass), np.cumsum(mass[::-1])[::-1]
        table[trials, : trials + 1] = np.minimum(lower, upper) <= ERROR / 2
    _TABLES[chance] = table
    return table


if __name__ == "__main__":
    main(tyro.cli(SequentialBenchmark))
