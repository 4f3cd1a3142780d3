"""How long a server takes from its command line to SERVING, and where the seconds go.

Each line is a process of its own; an import's line holds all that it loads. Wall time is what an
operator waits, CPU seconds suffer less from other processes. Run it from the repository's root.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.harness.machine import OthersAtWork, cpu_s_of
from benchmarks.harness.result_file import write_result
from benchmarks.harness.server_process import server_process
from benchmarks.startup import spread, start

IMPORTS = ("torch", "torch, onnx, onnxruntime")


@dataclass(frozen=True)
class ColdStartBenchmark:
    """Time the server's start."""

    checkpoint: Path = Path("checkpoints/aloha-mini")
    device: str = "cpu"
    environment: Path = Path(".venv-server")
    rounds: int = 7
    """How often each is started, after one round that is not counted"""
    name: str = "cold_start"
    """Of the file in benchmarks/results"""


def main(config: ColdStartBenchmark) -> Path:
    """Time them all, in turn; returns the file of the figures."""
    python, handover = (str(config.environment / "bin" / name) for name in ("python", "handover"))
    imports = {f"import {names}": [python, "-c", f"import {names}"] for names in IMPORTS}
    serve = [handover, "serve", "--port", "0"]
    checkpoint = ["--checkpoint", str(config.checkpoint), "--device", config.device]
    servers = {
        "serve --policy hold": [*serve, "--policy", "hold"],
        "serve --checkpoint, --engine reference": [*serve, *checkpoint, "--engine", "reference"],
        "serve --checkpoint": [*serve, *checkpoint],
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in (*imports, *servers)}
    others = OthersAtWork()
    for count in range(config.rounds + 1):
        rows = {name: start(line) for name, line in imports.items()}
        rows |= {name: until_serving(line) for name, line in servers.items()}
        if count:
            for name, seconds in rows.items():
                taken[name].append(seconds)
    figures = {name: spread(seconds) for name, seconds in taken.items()}
    for name, row in figures.items():
        print(f"{name:>55}  {row}")
    what = "seconds from start to exit, of servers to the line that says that they answer"
    cores = others.cores()
    return write_result(
        config.name,
        {
            "what": what,
            "device": config.device,
            "other_processes_cores": cores,
            "seconds": figures,
        },
    )


def until_serving(line: list[str]) -> tuple[float, float]:
    """Start a server, and give wall and CPU seconds until it says that it answers; then end it."""
    began = time.perf_counter()
    with server_process(*line, quiet=True) as server:
        return time.perf_counter() - began, cpu_s_of(server.pid)


if __name__ == "__main__":
    print(main(tyro.cli(ColdStartBenchmark)))
