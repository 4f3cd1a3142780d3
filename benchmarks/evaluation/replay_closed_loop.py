"""What playing 50 Hz demonstrations at 20 Hz costs: recorded actions, played back on their seeds.

    python -m benchmarks.evaluation.replay_closed_loop --recording DIR [--server-env .venv-server]

DIR is a `handover record` folder, whose episodes all succeed at 50 Hz. It is converted to 20 Hz, a
server plays its actions back (`--policy replay`), and rollouts execute them on the same seeds. The
success rate bounds that of every policy that was trained on such a dataset.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness.machine import describe_run
from benchmarks.harness.server_process import server_process

RESULTS = Path(__file__).resolve().parents[1] / "results"
_ROLLOUTS = {
    "linear, 8 steps a chunk": ("--interpolation", "linear", "--execute-steps", "8"),
    "hold, 8 steps a chunk": ("--interpolation", "hold", "--execute-steps", "8"),
    "linear, 16 steps a chunk": ("--interpolation", "linear", "--execute-steps", "16"),
}
_KEPT = ("episodes", "successes", "success_rate", "wilson_95", "strict", "funnel", "outages")


def handover(python: Path | str, *flags: str | Path) -> list[str]:
    """Write a command line of the handover of one environment."""
    return [str(part) for part in (python, "-m", "handover_client.cli", *flags)]


def summarise(folder: Path) -> dict[str, Any]:
    """Take what matters here from a rollout's metrics."""
    figures = json.loads((folder / "metrics.json").read_text())
    failures = [
        {key: each[key] for key in ("episode", "seed", "max_reward", "ended")}
        for each in figures["per_episode"]
        if not each["success"]
    ]
    return {
        **{key: figures[key] for key in _KEPT},
        "time_to_success_s": figures["time_to_success_s"],
        "jerk_rms": figures["jerk_rms"],
        "failures": failures,
        "not_strict": [
            each["seed"]
            for each in figures["per_episode"]
            if each["success"] and not each["strict_success"]
        ],
        "versions": figures["provenance"]["versions"],
    }


def main(recording: Path, server_env: Path) -> None:
    """Convert, serve, roll out in every way, and write the result."""
    told = json.loads((recording / "meta/recording.json").read_text())
    rollouts = {}
    with tempfile.TemporaryDirectory() as folder:
        dataset, python = Path(folder) / "groot", server_env / "bin/python"
        convert = handover(python, "convert", "--source", recording, "--output", dataset)
        subprocess.run(convert, check=True)
        serve = handover(python, "serve", "--policy", "replay", "--dataset-path", dataset)
        with server_process(*serve, "--port", "0") as server:
            for name, flags in _ROLLOUTS.items():
                output = Path(folder) / f"run{len(rollouts)}"
                started = time.perf_counter()
                command = handover(sys.executable, "rollout", "--server", server.address)
                command += ["--task", told["task"], "--seeds-from", str(recording)]
                command += ["--videos", "none", "--output", str(output), *flags]
                subprocess.run(command, check=True)
                seconds = round(time.perf_counter() - started, 1)
                rollouts[name] = {"seconds": seconds, **summarise(output)}
    result = {
        "task": told["task"],
        "recorded_episodes": len(told["episodes"]),
        "success_at_50_hz": 1.0,  # handover record keeps nothing else
        "rollouts": rollouts,
        "run": describe_run(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"replay_closed_loop_{told['task']}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    for name, rollout in rollouts.items():
        print(f"{name}: {rollout['successes']} of {rollout['episodes']}")
    print(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Play recorded actions back, closed loop.")
    parser.add_argument("--recording", type=Path, required=True)
    parser.add_argument("--server-env", type=Path, default=Path(".venv-server"))
    arguments = parser.parse_args()
    main(arguments.recording.resolve(), arguments.server_env)
