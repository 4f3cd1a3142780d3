"""How many demonstrations it takes: success by their number, by the commands that users have.

    python -m benchmarks.evaluation.demonstrations --work outputs/demonstrations

Run by an environment with the simulator; --server-env has convert, finetune and serve. Each cell (a
task, a number of demonstrations, a training seed) records, converts, finetunes the base and plays
unseen seeds. Every command goes on where it was interrupted, and a finished cell is in
results/demonstrations.json at once, so the same command goes on after a kill. --plot draws the
figures that are there.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handover_client.report.charts.svg import Chart, Dots, Line, chart_style, inline_svg, scale
from handover_common import write_json, write_text

from benchmarks.harness.machine import describe_run
from benchmarks.harness.server_process import server_process

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "benchmarks/results/demonstrations.json"
PLOT = ROOT / "docs/images/demonstrations.svg"

COUNTS = (10, 25, 50, 100)
SEEDED_COUNT = 50  # demonstrations for which every training seed is run
RECORDED_FROM, PLAYED_FROM = 5000, 10_000  # seeds that never meet
RECORD_FLAGS = ("--fps", "20", "--image-size", "256", "--render", "plain", "--disturb")
FINETUNE_FLAGS = (
    *("--no-random-crop", "--state-noise", "0.007", "--ema-decay", "0.995"),
    *("--learning-rate", "1.5e-3", "--weight-decay", "1e-4"),
    *("--device", "cpu", "--report-to", "none"),
)
PUBLISHED = {
    "ACT paper, 50 scripted demonstrations": {"transfer_cube": 0.86, "insertion": 0.32},
    "LeRobot's ACT cards, scripted data": {"transfer_cube": 0.93, "insertion": 0.64},
}
DIFFERENCES = (
    "ACT sees 480x640 frames at 50 Hz with an encoder pre-trained on ImageNet; our base has seen "
    "rendered images of these scenes, without actions. The demonstrations are by different scripts."
)


@dataclass(frozen=True)
class Cell:
    """One training: a task, a number of demonstrations, and the trainer's seed."""

    task: str
    count: int
    seed: int

    @property
    def name(self) -> str:
        """Name of its folders, and of its figures."""
        return f"{self.task}_{self.count}_seed{self.seed}"


class Road:
    """The commands from recordings to a success rate, run where their result is missing."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._work: Path = arguments.work
        self._server = str(arguments.server_env / "bin/python")
        self._base, self._steps = arguments.base_model_path, arguments.steps
        self._episodes, self._execute = arguments.episodes, arguments.execute_steps
        self.commands: list[str] = []

    def walk(self, cell: Cell) -> dict[str, Any]:
        """Do what is missing of a cell, and return its figures."""
        data = self._work / f"{cell.task}_{cell.count}"
        trained, played = self._work / f"{cell.name}_trained", self._work / f"{cell.name}_played"
        recorded, converted = data.with_name(f"{data.name}_recorded"), data
        output = ("--output", str(recorded))
        seconds = {
            "record": self._run(
                sys.executable,
                recorded,
                *("record", "--task", cell.task, "--episodes", str(cell.count)),
                *("--seed", str(RECORDED_FROM), *RECORD_FLAGS, *output),
            ),
            "convert": self._run(
                self._server,
                converted,
                *("convert", "--source", str(recorded), "--output", str(converted)),
            ),
            "finetune": self._run(
                self._server,
                trained / "model.safetensors",
                *("finetune", "--dataset-path", str(converted), "--output-dir", str(trained)),
                *("--base-model-path", str(self._base), "--max-steps", str(self._steps)),
                *("--seed", str(cell.seed), "--cache-dir", str(self._work / "cache")),
                *FINETUNE_FLAGS,
            ),
            "rollout": self._play(cell, trained, played),
        }
        figures = json.loads((played / "metrics.json").read_text())
        kept = ("episodes", "successes", "success_rate", "wilson_95", "strict", "funnel")
        return {
            **{"task": cell.task, "demonstrations": cell.count, "training_seed": cell.seed},
            **{name: figures[name] for name in kept},
            "seconds": seconds,
            "checkpoint_hash": figures["settings"]["checkpoint_hash"],
            "versions": figures["provenance"]["versions"],
        }

    def _play(self, cell: Cell, trained: Path, played: Path) -> float | None:
        if (played / "metrics.json").exists():
            return self._taken(played)
        serve = ("serve", "--checkpoint", str(trained), "--port", "0")
        command = [self._server, "-m", "handover_client.cli", *serve]
        with server_process(*command, OMP_NUM_THREADS="1") as server:
            return self._run(
                sys.executable,
                played,
                *("rollout", "--server", server.address, "--task", cell.task),
                *("--seed", str(PLAYED_FROM), "--episodes", str(self._episodes)),
                *("--execute-steps", str(self._execute), "--videos", "none"),
                *("--output", str(played)),
            )

    def _run(self, python: str, result: Path, *command: str) -> float | None:
        """Run a command unless its result is there; returns its seconds, None if cut in parts."""
        self.commands.append(" ".join(("handover", *command)))
        if result.exists():
            return self._taken(result)
        note = self._note(result)
        was_begun = note.exists()
        note.parent.mkdir(parents=True, exist_ok=True)
        write_json(note, {"began": True})
        began = time.perf_counter()
        subprocess.run([python, "-m", "handover_client.cli", *command], check=True)
        seconds = None if was_begun else round(time.perf_counter() - began, 1)
        write_json(note, {"seconds": seconds})
        return seconds

    def _note(self, result: Path) -> Path:
        """Place of the time that a command took: beside what the commands write, not in it."""
        return self._work / "notes" / f"{'_'.join(result.relative_to(self._work).parts)}.json"

    def _taken(self, result: Path) -> float | None:
        note = self._note(result)
        return json.loads(note.read_text()).get("seconds") if note.exists() else None


def cells(tasks: list[str], counts: list[int], seeds: list[int]) -> list[Cell]:
    """List the cells: one seed each, and every seed at 50 demonstrations, which come first."""
    found = [Cell(task, SEEDED_COUNT, seeds[0]) for task in tasks if SEEDED_COUNT in counts]
    found += [
        Cell(task, count, seed)
        for task in tasks
        for count in counts
        for seed in (seeds if count == SEEDED_COUNT else seeds[:1])
    ]
    return list(dict.fromkeys(found))


def draw(result: dict[str, Any]) -> str:
    """Draw success by the number of demonstrations, with ACT's figures: an SVG document."""
    roles = ("predicted", "good", "mean")
    marks: list[Any] = []
    tasks = list(dict.fromkeys(cell["task"] for cell in result["cells"].values()))
    for task, role in zip(tasks, roles, strict=False):
        found = [cell for cell in result["cells"].values() if cell["task"] == task]
        rates: dict[int, list[float]] = {}
        for cell in sorted(found, key=lambda cell: cell["demonstrations"]):
            rates.setdefault(cell["demonstrations"], []).append(100 * cell["success_rate"])
        means = [sum(each) / len(each) for each in rates.values()]
        marks.append(Line(list(rates), means, role, task))
        singles = [(count, rate) for count, each in rates.items() for rate in each]
        marks.append(Dots(*zip(*singles, strict=True), role=role))
        act = [each[task] * 100 for each in PUBLISHED.values() if task in each]
        marks.append(Dots([SEEDED_COUNT] * len(act), act, role=role, shape="cross"))
    chart = Chart(
        "Success by the number of demonstrations; crosses: ACT, published",
        scale("demonstrations", 0.0, 105.0, 5),
        scale("success, %", 0.0, 102.0, 4),
        tuple(marks),
        height_px=280,
    )
    size = 'xmlns="http://www.w3.org/2000/svg" width="640" height="280"'
    svg = inline_svg(chart).replace("<svg", f"<svg {size}", 1)
    return svg.replace(">", f"><style>{chart_style()}</style>", 1)


def main(arguments: argparse.Namespace) -> None:
    """Walk the road for every cell that is missing, and write the figures after each."""
    settings = {
        "steps": arguments.steps,
        "episodes": arguments.episodes,
        "execute_steps": arguments.execute_steps,
        "base": arguments.base_model_path.name,
        "finetune_flags": list(FINETUNE_FLAGS),
    }
    new = {"settings": settings, "published": PUBLISHED, "differences": DIFFERENCES, "cells": {}}
    path: Path = arguments.result
    result: dict[str, Any] = json.loads(path.read_text()) if path.exists() else new
    if result["settings"] != settings:
        raise SystemExit(f"{path} has figures of other settings: remove it, or say --result FILE")
    for cell in cells(arguments.tasks, arguments.counts, arguments.training_seeds):
        if cell.name in result["cells"]:
            continue
        road = Road(arguments)
        result["cells"][cell.name] = road.walk(cell) | {"commands": road.commands}
        write_json(path, result | {"run": describe_run()})
    if arguments.plot:
        write_text(PLOT, draw(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Success by the number of demonstrations.")
    parser.add_argument("--work", type=Path, default=Path("outputs/demonstrations"))
    parser.add_argument("--server-env", type=Path, default=Path(".venv-server"))
    parser.add_argument("--base-model-path", type=Path, default=Path("checkpoints/aloha-mini-base"))
    parser.add_argument(
        "--tasks", nargs="+", default=["transfer_cube", "insertion", "transfer_cube_left"]
    )
    parser.add_argument("--counts", nargs="+", type=int, default=list(COUNTS))
    parser.add_argument("--training-seeds", nargs="+", type=int, default=[42, 43, 44])
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--execute-steps", type=int, default=4)
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--plot", action="store_true")
    main(parser.parse_args())
