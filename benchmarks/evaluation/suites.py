"""Suites of `handover rollout` for a checkpoint, task by task, and their figures on disk."""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from handover_common import write_json

from benchmarks.harness.machine import describe_run
from benchmarks.harness.server_process import server_process

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks/results"
TASKS = ("transfer_cube", "insertion")


def suite_flags(description: str, suite: str) -> argparse.ArgumentParser:
    """Flags that every suite's benchmark takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/aloha-mini"))
    parser.add_argument("--folder", type=Path, default=Path("runs") / suite)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--server-env", type=Path, default=Path(".venv-server"))
    parser.add_argument("--pages", action="store_true", help="write what the pages show alone")
    return parser


def play(arguments: argparse.Namespace, suite: str, more: Sequence[str]) -> dict[str, Path]:
    """Play what is missing of a suite; returns its folder for each task.

    more: flags of `handover rollout` for this suite
    """
    serve = [str(arguments.server_env / "bin/python"), "-m", "handover_client.cli", "serve"]
    serve += ["--checkpoint", str(arguments.checkpoint), "--device", arguments.device]
    folders = {task: arguments.folder / task for task in arguments.tasks}
    with server_process(*serve, "--port", "0") as server:
        for task, output in folders.items():
            if (output / "metrics.json").exists():
                continue
            output.parent.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "handover_client.cli", "rollout"]
            command += ["--server", server.address, "--task", task, "--suite", suite]
            command += ["--episodes", str(arguments.episodes), "--seed", str(arguments.seed)]
            command += ["--workers", str(arguments.workers), "--output", str(output), *more]
            subprocess.run(command, check=True)
    return folders


def write_result(suite: str, task: str, figures: Mapping[str, Any]) -> None:
    """Write results/SUITE_TASK.json."""
    write_json(RESULTS / f"{suite}_{task}.json", {**figures, "machine": describe_run()})


def read_figures(folder: Path) -> dict[str, Any]:
    """Read the metrics.json of a suite's folder."""
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def read_results(suite: str) -> dict[str, Any]:
    """Read the results that are there: {task: results/SUITE_TASK.json}."""
    files = {task: RESULTS / f"{suite}_{task}.json" for task in TASKS}
    return {
        task: json.loads(path.read_text(encoding="utf-8"))
        for task, path in files.items()
        if path.exists()
    }
