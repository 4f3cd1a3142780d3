"""Latency suites of a checkpoint on both tasks, their table in docs/closed_loop.md, and a figure.

    python -m benchmarks.evaluation.latency --checkpoint checkpoints/aloha-mini
    python -m benchmarks.evaluation.latency --pages

Run by an environment with the simulator; the checkpoint is served from --server-env. The first
command plays `handover rollout --suite latency` for each task (an interrupted one goes on where it
was), writes results/latency_TASK.json, and then what the second writes from those files alone.
Latency is simulated time: a busy machine changes how long this takes and nothing else.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from handover_client.report.charts.svg import (
    Chart,
    Dots,
    Line,
    around,
    chart_style,
    inline_svg,
    scale,
)
from handover_client.results.formatting import median, percent, points
from handover_common import write_text
from handover_proto import ALOHA_JOINTS, ARM_JOINTS

from benchmarks.evaluation import suites
from benchmarks.harness.docs_table import markdown, write_table

PAGE = suites.ROOT / "docs/closed_loop.md"
PLOT = suites.ROOT / "docs/images/latency.svg"
DRAWN = ("naive", "rtc")  # ways of switching, one above the other
DRAWN_MS = 300
_DRAWN_STEPS = 100  # control steps around the hardest take-over: more would hide what happens there
_WIDTH, _HEIGHT, _LEFT, _TOP = 760, 170, 52, 34  # pixels of the figure, of a chart in it, margins
_COLUMNS = (
    *("switching", "latency, ms", "success", "to 0 ms", "strict"),
    *("acceleration at borders", "within", "jerk at borders", "within", "delay: expected", "came"),
)


def joint_series(suite: Path) -> dict[str, Any] | None:
    """Read the targets of one joint in one episode, by way of switching; None where not played.

    Of the first episode that succeeds in all drawn ways the arm joint that naive switching pulls
    most where chunks take over, around the border where it does so most.
    """
    cells = {way: suite / "cells" / f"{way}_{DRAWN_MS}ms" for way in DRAWN}
    if not all(cell.is_dir() for cell in cells.values()):
        return None
    records = {way: _records(cell) for way, cell in cells.items()}
    same = set.intersection(*(set(each) for each in records.values()))
    good = [each for each in same if all(records[way][each]["success"] for way in DRAWN)]
    if not good:
        return None
    episode = min(good)
    targets = {}
    for way, cell in cells.items():
        with np.load(cell / f"traces/episode_{episode:06d}.npz", allow_pickle=False) as arrays:
            targets[way] = arrays["targets"]
    joint, border = _most_pulled(targets[DRAWN[0]], records[DRAWN[0]][episode]["borders"])
    shortest = min(map(len, targets.values()))
    first = max(0, min(border - _DRAWN_STEPS // 2, shortest - _DRAWN_STEPS))
    return {
        "seed": records[DRAWN[0]][episode]["seed"],
        "joint": ALOHA_JOINTS[joint],
        "latency_ms": DRAWN_MS,
        "control_rate_hz": 50.0,
        "first_step": first,
        "targets_rad": {
            way: [round(float(each), 5) for each in rows[first : first + _DRAWN_STEPS, joint]]
            for way, rows in targets.items()
        },
        "borders": {way: records[way][episode]["borders"] for way in DRAWN},
    }


def _records(cell: Path) -> dict[int, dict[str, Any]]:
    lines = (cell / "episodes.jsonl").read_text(encoding="utf-8").splitlines()
    return {record["episode"]: record for record in map(json.loads, lines)}


def _most_pulled(targets: np.ndarray, borders: Sequence[int]) -> tuple[int, int]:
    """Return the joint, and the border at which it is pulled most."""
    pulls = np.abs(np.diff(targets.astype(np.float64), n=2, axis=0))
    at_borders = np.stack([pulls[max(0, border - 2) : border].max(axis=0) for border in borders])
    arms = list(ARM_JOINTS)
    joint = arms[int(at_borders[:, arms].sum(axis=0).argmax())]
    return joint, borders[int(at_borders[:, joint].argmax())]


def page_part(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the page's part: a table for each task, and the figure; results: {task: its JSON}."""
    parts = []
    for task, result in results.items():
        hashed = result["provenance"]["server"]["checkpoint_hash"][:12]
        learned = result["learned_delay_steps"]
        how = f"has learnt to continue {learned} steps" if learned else "is guided"
        best = ", ".join(
            f"`{each['switching']}` {each['latency_ms']:g}" for each in result["envelopes"]
        )
        parts += [
            f"**{task}**, {result['control']['episodes']} seeds a row, checkpoint `{hashed}`, "
            f"which {how} ([latency_{task}.json](../benchmarks/results/latency_{task}.json)). "
            f"Up to which latency success stays within 2 points, in ms: {best}.",
            markdown(_COLUMNS, map(_row, result["rows"])),
        ]
    drawn = _drawn(results)
    if drawn:
        parts.append(
            f"![Targets of {drawn['joint']} at {drawn['latency_ms']} ms, naive switching above "
            "real-time chunking; dots where a chunk takes over](images/latency.svg)"
        )
    return "\n\n".join(parts)


def _row(row: Mapping[str, Any]) -> Sequence[str]:
    error, delay = row["delay_error_steps"], row["delay_steps"]
    low, high = row["wilson_95"]
    return (
        f"`{row['switching']}`" + (f", delay wrong by {error:+d}" if error else ""),
        f"{row['latency_ms']:g} ± {row['jitter_ms']:g}",
        f"{percent(row['success_rate'])} ({100 * low:.0f} … {100 * high:.0f})",
        points(row["difference"]),
        percent(row["strict"]["success_rate"]),
        *(
            median(row[f"{where}_{what}"])
            for what in ("acceleration", "jerk_rms")
            for where in ("border", "within")
        ),
        *(f"{delay[name]['mean']:.1f}" if delay else "–" for name in ("expected", "came")),
    )


def draw(joint: Mapping[str, Any]) -> str:
    """Draw one joint's targets, a chart for each way of switching: an SVG document."""
    rate_hz, drawn, first = joint["control_rate_hz"], joint["targets_rad"], joint["first_step"]
    every = [value for targets in drawn.values() for value in targets]
    start_s, end_s = (step / rate_hz for step in (first, first + max(map(len, drawn.values()))))
    charts = []
    for place, (way, role) in enumerate(zip(drawn, ("bad", "good"), strict=True)):
        targets = np.array(drawn[way])
        borders = (border - first for border in joint["borders"][way])
        seen = [border for border in borders if 0 <= border < len(targets)]
        chart = Chart(
            f"{way}, {joint['latency_ms']} ms: {joint['joint']}, seed {joint['seed']}",
            scale("simulated time, s", start_s, end_s, 8),
            around(f"{way}: {joint['joint']}, rad", every, 0.01),
            (
                Line(start_s + np.arange(len(targets)) / rate_hz, targets, role),
                Dots(start_s + np.array(seen) / rate_hz, targets[seen], role),
            ),
            height_px=_HEIGHT,
        )
        top = _TOP + place * (_HEIGHT + 2 * _TOP)
        box = f'x="{_LEFT}" y="{top}" width="{_WIDTH - _LEFT - 20}" height="{_HEIGHT}"'
        charts.append(inline_svg(chart).replace("<svg", f"<svg {box}", 1))
    size = f'width="{_WIDTH}" height="{len(charts) * (_HEIGHT + 2 * _TOP) + 12}"'
    # a chart's own margins are those of a page
    style = f"{chart_style()}svg.chart{{margin:0;width:{_WIDTH - _LEFT - 20}px}}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>'
        f"{''.join(charts)}</svg>\n"
    )


def write_pages(results: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the page's part and the figure; results: {task: its JSON}."""
    drawn = _drawn(results)
    if drawn:
        write_text(PLOT, draw(drawn))
    write_table("latency", page_part(results), PAGE)


def _drawn(results: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return next((result["joint"] for result in results.values() if result["joint"]), None)


def main() -> None:
    """Play the suites, and write the figures."""
    parser = suites.suite_flags("Success and motion by latency and switching.", "latency")
    parser.add_argument("--latencies-ms", nargs="+", default=())
    parser.add_argument("--switchings", nargs="+", default=())
    given = parser.parse_args()
    if not given.pages:
        more = []
        for flag in ("latencies_ms", "switchings"):
            if chosen := getattr(given, flag):
                more += ["--" + flag.replace("_", "-"), *chosen]
        for task, folder in suites.play(given, "latency", more).items():
            figures = suites.read_figures(folder)
            suites.write_result("latency", task, {**figures, "joint": joint_series(folder)})
    write_pages(suites.read_results("latency"))


if __name__ == "__main__":
    main()
