"""What many clients get: `handover bench` against the hold policy and the shipped checkpoint.

    python -m benchmarks.serving.load            (extra serve)

Closed loop: each client asks again once it is answered, so that the server is as busy as they can
make it. Servers, load generator and everything else share this machine.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.harness.docs_table import markdown, write_table
from benchmarks.harness.result_file import FOLDER, write_result
from benchmarks.harness.server_process import server_process

CLIENTS = (1, 8, 32, 64)
CHECKPOINT = Path(__file__).resolve().parents[2] / "checkpoints/aloha-mini"
SERVE = (sys.executable, "-m", "handover_server.serve.command", "--port", "0")
SERVERS = {
    "hold": (*SERVE, "--policy", "hold"),
    "shipped": (*SERVE, "--checkpoint", str(CHECKPOINT)),
}
HEADER = ("policy", "frame", "clients", "answers/s", "p50 ms", "p95 ms", "p99 ms", "refused")
DEADLINE_S = 60.0


@dataclass(frozen=True)
class LoadConfig:
    """Measure latency and throughput of two policies at 1, 8, 32 and 64 clients."""

    seconds: float = 8.0
    """How long each line of the table is measured."""
    warm_up: float = 1.0
    """Seconds before that, which do not count."""
    table: bool = False
    """Only write the table of the last results into docs/serving.md."""


def bench(address: str, clients: int, config: LoadConfig, *flags: str) -> dict[str, Any]:
    """One run of `handover bench`; gives its figures."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "load.json"
        command = [
            sys.executable,
            "-m",
            "handover_client.cli",
            "bench",
            "--server",
            address,
        ]
        command += ["--clients", str(clients), "--seconds", str(config.seconds)]
        command += ["--warm-up", str(config.warm_up), "--output", str(output), *flags]
        subprocess.run(
            command, check=True, timeout=DEADLINE_S + config.seconds, stdout=subprocess.DEVNULL
        )
        return json.loads(output.read_text(encoding="utf-8"))


def main(config: LoadConfig) -> None:
    """Measure every case, print the table, write results/load.json and the part of the docs."""
    if config.table:
        content = json.loads((FOLDER / "load.json").read_text(encoding="utf-8"))
        write_table("load", page_part(content))
        return
    cases = []
    for name, command in SERVERS.items():
        with server_process(*command, quiet=True) as server:
            address = server.address
            for clients in CLIENTS:
                cases.append(bench(address, clients, config))
                print(" | ".join(row(cases[-1])), flush=True)
            for codec in ("raw", "jpeg") if name == "hold" else ():
                size = ("--image-height", "480", "--image-width", "640")
                cases.append(bench(address, 1, config, *size, "--codec", codec))
                print(" | ".join(row(cases[-1])), flush=True)
    figures = {
        "what": "handover bench in a closed loop over loopback; latency of answered requests, from "
        "when they were due; server and load generator on one machine",
        "config": {"seconds": config.seconds, "warm_up": config.warm_up},
        "cores_allowed": len(os.sched_getaffinity(0)),  # taskset's, for servers and clients
        "cases": cases,
    }
    print(write_result("load", figures))
    write_table("load", page_part(figures))


def page_part(content: dict[str, Any]) -> str:
    """The table, a line for each case."""
    return markdown(HEADER, map(row, content["cases"]))


def row(case: dict[str, Any]) -> tuple[str, ...]:
    """One line of the table."""
    height, width, codec = case["image"]
    latency = case["latency_ms"]
    refused = ", ".join(f"{count} {status}" for status, count in case["refused"].items())
    times = ("–" if latency[p] is None else f"{latency[p]:.2f}" for p in ("p50", "p95", "p99"))
    return (
        case["checkpoint"] or case["policy"],
        f"{height}×{width} {codec}",
        str(case["clients"]),
        f"{case['throughput_hz']:.1f}",
        *times,
        refused or "0",
    )


if __name__ == "__main__":
    main(tyro.cli(LoadConfig))
