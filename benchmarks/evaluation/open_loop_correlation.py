"""How well open-loop measures foretell success: rank correlation over the checkpoints of runs.

python -m benchmarks.evaluation.open_loop_correlation --run outputs/a:transfer_cube …

Run by an environment with the simulator; each checkpoint is served from --server-env and played by
`handover rollout`. The open-loop measures are those that `handover finetune` took of it on held-out
episodes (trainer_state.json). Tasks differ in difficulty, so checkpoints are ranked within their
run, and the correlations of the runs are averaged, weighted by their numbers of checkpoints. Every
finished rollout is kept in --folder: the same command continues.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.result_file import write_result
from benchmarks.harness.server_process import server_process

MEASURES = {
    "open_loop_mse": -1,
    "open_loop_mae": -1,
    "open_loop_critical_mse": -1,
    "open_loop_accuracy": 1,
}
"""Measures, and the sign that a useful one correlates with"""


def ranks(values: np.ndarray) -> np.ndarray:
    """Rank numbers from 0; equal ones share their mean rank."""
    return np.array([(values < one).sum() + ((values == one).sum() - 1) / 2 for one in values])


def spearman(one: np.ndarray, other: np.ndarray) -> float | None:
    """Return the rank correlation; None where one of them does not vary."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(ranks(one), ranks(other))[0, 1])


def measured(checkpoint: Path) -> dict[str, float]:
    """Read the open-loop measures of a checkpoint."""
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    step = int(checkpoint.name.rpartition("-")[2])
    (entry,) = (
        one for one in state["log_history"] if one["step"] == step and "eval_open_loop_mse" in one
    )
    return {name: entry[f"eval_{name}"] for name in MEASURES}


def play(checkpoint: Path, task: str, output: Path, arguments: argparse.Namespace) -> float:
    """Serve a checkpoint and play it; returns its success rate."""
    if not (output / "metrics.json").exists():
        python = str(arguments.server_env / "bin/python")
        serve = [python, "-m", "handover_client.cli", "serve", "--port", "0"]
        with server_process(*serve, "--checkpoint", str(checkpoint)) as server:
            rollout = [sys.executable, "-m", "handover_client.cli", "rollout", "--task", task]
            rollout += ["--server", server.address, "--output", str(output), "--videos", "none"]
            rollout += ["--episodes", str(arguments.episodes), "--seed", str(arguments.seed)]
            rollout += ["--execute-steps", str(arguments.execute_steps)]
            subprocess.run(rollout, check=True, stdout=subprocess.DEVNULL)
    return json.loads((output / "metrics.json").read_text())["success_rate"]


def main(arguments: argparse.Namespace) -> Path:
    """Play what is missing, and write the correlations; returns the result's file."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for run in arguments.run:
        folder, _, task = run.rpartition(":")
        found = sorted(
            Path(folder).glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2])
        )
        name = f"{Path(folder).resolve().name} {task}"
        runs[name] = [
            {
                "step": int(path.name.rpartition("-")[2]),
                "success_rate": play(path, task, arguments.folder / name / path.name, arguments),
                **measured(path),
            }
            for path in found
        ]
    return write_result(
        "open_loop_correlation",
        {
            "episodes": arguments.episodes,
            "seed": arguments.seed,
            "execute_steps": arguments.execute_steps,
            "checkpoints": sum(map(len, runs.values())),
            "spearman_with_success": {name: _correlation(runs, name) for name in MEASURES},
            "runs": runs,
        },
    )


def _correlation(runs: dict[str, list[dict[str, Any]]], measure: str) -> dict[str, Any]:
    """Correlate within each run; average by the numbers of checkpoints."""
    parts = {
        name: spearman(
            np.array([one[measure] for one in found]),
            np.array([one["success_rate"] for one in found]),
        )
        for name, found in runs.items()
    }
    kept = [(value, len(runs[name])) for name, value in parts.items() if value is not None]
    values, weights = zip(*kept, strict=True) if kept else ((), ())
    mean = float(np.average(values, weights=weights)) if kept else None
    return {"all": mean, **parts}


def cli() -> None:
    """Parse the command line and print the correlations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", action="append", required=True, help="RUN_FOLDER:TASK")
    parser.add_argument("--folder", type=Path, default=Path("outputs/open_loop_correlation"))
    parser.add_argument("--server-env", type=Path, default=Path(".venv-server"))
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=30000)
    parser.add_argument("--execute-steps", type=int, default=8)
    result = json.loads(main(parser.parse_args()).read_text())
    print(json.dumps(result["spearman_with_success"], indent=2))


if __name__ == "__main__":
    cli()
