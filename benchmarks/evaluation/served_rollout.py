"""Episodes against a server of one's own: success, rendering and latency on this machine.

    python -m benchmarks.evaluation.served_rollout --checkpoint DIR --episodes 20

Server and simulator run in this environment, which needs the extras `serve` and `sim`.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.harness.result_file import write_result
from benchmarks.harness.server_process import server_process
from benchmarks.serving.load import SERVE

FIGURES = ("episodes", "successes", "success_rate", "wilson_95", "latency_ms", "strict")


@dataclass(frozen=True)
class ServedRollout:
    """Serve a checkpoint and play episodes of it."""

    checkpoint: Path = Path("checkpoints/aloha-mini")
    task: str = "transfer_cube"
    episodes: int = 20
    seed: int = 1000
    device: str = "auto"
    name: str = "served_rollout"
    """The result goes to benchmarks/results/NAME.json"""


def main(config: ServedRollout) -> dict[str, Any]:
    """Play, print and write the figures."""
    serve = [*SERVE, "--checkpoint", str(config.checkpoint), "--device", config.device]
    with tempfile.TemporaryDirectory() as folder, server_process(*serve, quiet=True) as server:
        output = Path(folder) / "run"
        command = [sys.executable, "-m", "handover_client.cli", "rollout"]
        command += ["--server", server.address, "--task", config.task, "--videos", "none"]
        command += ["--episodes", str(config.episodes), "--seed", str(config.seed)]
        began = time.perf_counter()
        subprocess.run([*command, "--output", str(output)], check=True)
        seconds = time.perf_counter() - began
        metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    figures = {key: metrics[key] for key in FIGURES if key in metrics}
    result = {
        "what": "closed-loop episodes, server and simulator on one machine",
        "checkpoint": config.checkpoint.name,
        "device": config.device,
        "task": config.task,
        **figures,
        "seconds_per_episode": round(seconds / config.episodes, 3),
    }
    print(result)
    write_result(config.name, result)
    return result


if __name__ == "__main__":
    main(tyro.cli(ServedRollout))
