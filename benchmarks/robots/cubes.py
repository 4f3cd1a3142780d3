"""Cubes that a checkpoint hands over in real time, by `handover drive --robot sim`.

    python -m benchmarks.robots.cubes --checkpoint checkpoints/aloha-mini --output FOLDER

Run by an environment with the simulator, with nothing else on the machine: real time is hard on a
busy one, and `busy_others` says how busy it was. What was recorded is converted and replayed.
FOLDER has to be new; the figures are written to results/drive_sim.json.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.harness.machine import OthersAtWork
from benchmarks.harness.result_file import write_result
from benchmarks.harness.server_process import server_process

TASK = "Pick up the cube with the right arm and transfer it to the left arm."


@dataclass(frozen=True)
class CubesConfig:
    """Hand over cubes in real time."""

    output: Path
    """New folder for the session, its converted dataset and the replay"""
    checkpoint: Path = Path("checkpoints/aloha-mini")
    """Checkpoint to serve"""
    episodes: int = 50
    """Episodes"""
    server_env: Path = Path(".venv-server")
    """Environment of the server and of the conversion"""
    result: str = "drive_sim"
    """Name of the figures in benchmarks/results; empty for none"""


def main(config: CubesConfig) -> None:
    """Drive, convert, replay, and write the figures."""
    server_python = str(config.server_env / "bin/python")
    driven, converted, replayed = (
        config.output / name for name in ("driven", "converted", "replayed")
    )
    config.output.mkdir(parents=True, exist_ok=True)
    serve = [server_python, "-m", "handover_client.cli", "serve", "--port", "0"]
    serve += ["--checkpoint", str(config.checkpoint)]
    others = OthersAtWork()
    with server_process(*serve) as server:
        _handover(sys.executable, "drive", "--robot", "sim", "--server", server.address,
                  "--camera", "ego_view=top", "--task", TASK, "--operator", "auto",
                  "--episodes", str(config.episodes), "--max-seconds", "12",
                  "--output", str(driven))  # fmt: skip
    busy = others.cores()
    _handover(server_python, "convert", "--source", str(driven), "--output", str(converted))
    with server_process(*serve) as server:
        _handover(sys.executable, "replay", "--server", server.address,
                  "--dataset-path", str(converted), "--output", str(replayed))  # fmt: skip
    replay = _metrics(replayed)
    figures = {
        **_metrics(driven),
        "busy_others": busy,
        "replay_of_the_recording": {
            "episodes": len(replay["episodes"]),
            "policy": replay["joints_14"],
            "hold": replay["baselines"]["hold"]["joints_14"],
            "provenance": replay["provenance"],
        },
    }
    print(json.dumps({name: figures[name] for name in ("successes", "judged", "busy_others")}))
    if config.result:
        print(write_result(config.result, figures))


def _handover(python: str, *words: str) -> None:
    subprocess.run([python, "-m", "handover_client.cli", *words], check=True)


def _metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(tyro.cli(CubesConfig))
