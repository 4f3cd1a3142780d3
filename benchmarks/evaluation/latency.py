"""Latency suites of a checkpoint on both tasks, their table in docs/closed_loop.md, and a figure.

    python -m benchmarks.evaluation.latency --checkpoint checkpoints/aloha-mini
    python -m benchmarks.evaluation.latency --pages

Run by an environment with the simulator; the checkpoint is served from --server-env. The first
command plays `handover rollout --suite latency` for each task (an interrupted one goes on where it
was), writes results/latency_TASK.json, and then what the second writes from those files alone.
Latency is simulated time: a busy machine changes how long this takes and nothing else.
"""

import argparse
import json
import subprocess
import sys
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
from handover_common import write_json, write_text
from handover_proto import ALOHA_JOINTS, ARM_JOINTS

from benchmarks.harness.docs_table import markdown, write_table
from benchmarks.harness.machine import describe_run
from benchmarks.harness.server_process import server_process

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks/results"
PAGE = ROOT / "docs/closed_loop.md"
PLOT = ROOT / "docs/images/latency.svg"
TASKS = ("transfer_cube", "insertion")
DRAWN = ("naive", "rtc")  # ways of switching, one above the other
DRAWN_MS = 300
_DRAWN_STEPS = 100  # control steps around the hardest take-over: more would hide what happens there
_WIDTH, _HEIGHT, _LEFT, _TOP = 760, 170, 52, 34  # pixels of the figure, of a chart in it, margins
_COLUMNS = (
    *("switching", "latency, ms", "success", "to 0 ms", "strict"),
    *("acceleration at borders", "within", "jerk at borders", "within", "delay: expected", "came"),
)


def play(arguments: argparse.Namespace) -> None:
    """Play what is missing of the suites, and write a result for each."""
    serve = [str(arguments.server_env / "bin/python"), "-m", "handover_client.cli", "serve"]
    serve += ["--checkpoint", str(arguments.checkpoint), "--device", arguments.device]
    with server_process(*serve, "--port", "0") as server:
        for task in arguments.tasks:
            output = arguments.folder / task
            if not (output / "metrics.json").exists():
                output.parent.mkdir(parents=True, exist_ok=True)
                command = [sys.executable, "-m", "handover_client.cli", "rollout"]
                command += ["--server", server.address, "--task", task, "--suite", "latency"]
                command += ["--episodes", str(arguments.episodes), "--seed", str(arguments.seed)]
                command += ["--workers", str(arguments.workers), "--output", str(output)]
                for flag in ("latencies_ms", "switchings"):
                    if chosen := getattr(arguments, flag):
                        command += ["--" + flag.replace("_", "-"), *map(str, chosen)]
                subprocess.run(command, check=True)
            write_result(output, task)


def write_result(suite: Path, task: str) -> None:
    """Write results/latency_TASK.json from a suite's folder."""
    figures = json.loads((suite / "metrics.json").read_text(encoding="utf-8"))
    write_json(
        RESULTS / f"latency_{task}.json",
        {**figures, "joint": joint_series(suite), "machine": describe_run()},
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
    drawn = next((result["joint"] for result in results.values() if result["joint"]), None)
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


def write_pages(tasks: Sequence[str]) -> None:
    """Write the page's part and the figure from the results that are there."""
    files = {task: RESULTS / f"latency_{task}.json" for task in tasks}
    results = {
        task: json.loads(path.read_text(encoding="utf-8"))
        for task, path in files.items()
        if path.exists()
    }
    if not results:
        raise SystemExit(f"there is no {' or '.join(path.name for path in files.values())}")
    for result in results.values():
        if result["joint"]:
            write_text(PLOT, draw(result["joint"]))
            break
    write_table("latency", page_part(results), PAGE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Success and motion by latency and switching.")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/aloha-mini"))
    parser.add_argument("--folder", type=Path, default=Path("runs/latency"))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--latencies-ms", nargs="+", type=int, default=())
    parser.add_argument("--switchings", nargs="+", default=())
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--server-env", type=Path, default=Path(".venv-server"))
    parser.add_argument("--pages", action="store_true", help="write table and figure alone")
    given = parser.parse_args()
    if not given.pages:
        play(given)
    write_pages(TASKS)
