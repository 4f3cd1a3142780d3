"""How long the command line takes to say what it takes: `handover` and each `COMMAND --help`.

Beside them, in the same run, an empty Python and what help would cost if the command imported what
it works with before it parses. The rounds are interleaved, so that a busy machine slows all of them
alike; CPU seconds suffer least from it. Run it from the repository's root, in any environment.
"""

import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.harness.result_file import write_result

# environment -> the commands that are at home there
COMMANDS = {
    "server": ("convert", "finetune", "calibrate", "card", "serve"),
    "sim": (
        *("record", "info", "replay", "rollout", "compare", "report", "completion"),
        *("bench", "replay-requests"),
    ),
}
EAGER = {
    "server": "import torch, transformers, cv2, grpc, tyro",
    "sim": "import mujoco, dm_control.mujoco, pyarrow, av, rich, jinja2, grpc, tyro",
}
_EAGER_ROUNDS = 3  # they take seconds each


@dataclass(frozen=True)
class StartupBenchmark:
    """Time the help of every command."""

    server_env: Path = Path(".venv-server")
    """Environment of serve, convert and finetune."""
    sim_env: Path = Path(".venv-sim")
    """Environment of the other commands."""
    rounds: int = 15
    """How often each is started, after one round that is not counted."""
    name: str = "startup"
    """Of the file in benchmarks/results."""


def main(config: StartupBenchmark) -> Path:
    """Time them all; returns the file of the figures."""
    lines = command_lines({"server": config.server_env, "sim": config.sim_env})
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in lines}
    for count in range(config.rounds + 1):
        for name, line in lines.items():
            if name.startswith("eager") and count > _EAGER_ROUNDS:
                continue
            seconds = start(line)
            if count:
                taken[name].append(seconds)
    return write_result(
        config.name,
        {
            "what": "seconds from start to exit; help goes to a pipe",
            "seconds": {name: spread(seconds) for name, seconds in taken.items()},
        },
    )


def command_lines(environments: dict[str, Path]) -> dict[str, list[str]]:
    """List what is started, by name."""
    lines = {}
    for role, environment in environments.items():
        python, handover = (str(environment / "bin" / name) for name in ("python", "handover"))
        lines[f"python -c pass ({role})"] = [python, "-c", "pass"]
        for command in COMMANDS[role]:
            lines[f"handover {command} --help"] = [handover, command, "--help"]
        lines[f"eager imports ({role})"] = [python, "-c", EAGER[role]]
    lines["handover"] = [str(environments["sim"] / "bin" / "handover")]
    return lines


def start(line: list[str]) -> tuple[float, float]:
    """Run one to its end; returns wall and CPU seconds."""
    before = os.times()
    start_s = time.perf_counter()
    subprocess.run(line, check=True, capture_output=True, timeout=300)
    wall_s = time.perf_counter() - start_s
    after = os.times()
    cpu_s = after.children_user + after.children_system
    return wall_s, cpu_s - before.children_user - before.children_system


def spread(seconds: list[tuple[float, float]]) -> dict[str, float]:
    """Condense the rounds of one line."""
    walls = sorted(wall_s for wall_s, _ in seconds)
    return {
        "rounds": len(seconds),
        "median": round(statistics.median(walls), 3),
        "fastest": round(walls[0], 3),
        "slowest": round(walls[-1], 3),
        "cpu_median": round(statistics.median(cpu_s for _, cpu_s in seconds), 3),
    }


if __name__ == "__main__":
    print(main(tyro.cli(StartupBenchmark)).read_text(encoding="utf-8"))
