"""Success and jerk at chunk borders by latency, for several ways from chunk to chunk.

    python -m benchmarks.evaluation.real_time --checkpoint checkpoints/aloha-mini --episodes 50

Run by an environment with the simulator; the checkpoint is served from --server-env. Latency is
simulated time, so a busy machine changes how long this takes and nothing else. Every finished cell
is in results/real_time.json at once; the same command goes on after an interruption, in the middle
of a cell too.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from handover_common import write_json

from benchmarks.harness.machine import describe_run
from benchmarks.harness.server_process import ServerProcess, server_process

RESULT = Path(__file__).resolve().parents[1] / "results/real_time.json"
SWITCHINGS = ("naive", "ensemble", "rtc", "rtc_crossfade")
LATENCIES_MS = (0, 100, 200, 300)
_COUNTS = ("episodes", "successes", "success_rate", "wilson_95", "dropped_steps", "dry_steps")
_SPREADS = ("time_to_success_s", "jerk_rms", "border_jerk_rms", "border_acceleration")


def roll_out(server: ServerProcess, output: Path, flags: list[str]) -> dict[str, Any]:
    """Play a cell's episodes, or what is missing of them; gives its figures."""
    command = [
        sys.executable,
        "-m",
        "handover_client.cli",
        "rollout",
        "--server",
        server.address,
    ]
    command += ["--realtime", "--clock", "simulated", "--videos", "none", *flags]
    began, server_cpu = time.perf_counter(), _cpu_s(server)
    client_cpu = _children_cpu_s()
    if not (output / "metrics.json").exists():  # else a kill came between its end and ours
        output.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([*command, "--output", str(output)], check=True)
    figures = json.loads((output / "metrics.json").read_text())
    return {
        **{key: figures[key] for key in _COUNTS},
        "strict": figures["strict"],
        **{key: figures[key] for key in _SPREADS},
        "seconds": round(time.perf_counter() - began, 1),
        "client_cpu_s": round(_children_cpu_s() - client_cpu, 1),
        "server_cpu_s": round(_cpu_s(server) - server_cpu, 1),
        "checkpoint_hash": figures["settings"]["checkpoint_hash"],
        "versions": figures["provenance"]["versions"],
    }


def _cpu_s(server: ServerProcess) -> float:
    """Processor time that a server has used."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def hash_weights(checkpoint: Path) -> str:
    """Tell checkpoints apart that have the same name; empty for a repository of the hub."""
    digest = hashlib.sha256()
    for path in sorted(checkpoint.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16] if checkpoint.is_dir() else ""


def read_result(settings: dict[str, Any]) -> dict[str, Any]:
    """Take up a result of the same settings, or begin one."""
    if RESULT.exists():
        result = json.loads(RESULT.read_text())
        if result["settings"] == settings:
            return result
    return {"settings": settings, "cells": []}


def write_result(result: dict[str, Any]) -> None:
    """Write the result whole or not at all."""
    write_json(RESULT, {**result, "run": describe_run()})


def main(arguments: argparse.Namespace) -> None:
    """Run the cells that the result lacks, and print them all."""
    settings = {
        "task": arguments.task,
        "checkpoint": Path(arguments.checkpoint).name,
        "weights": hash_weights(Path(arguments.checkpoint)),
        "episodes": arguments.episodes,
        "seed": arguments.seed,
        "execute_steps": arguments.execute_steps,
    }
    result = read_result(settings)
    cells = arguments.folder / hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]
    wanted = [(way, ms) for ms in arguments.latencies_ms for way in arguments.switchings]
    done = {(cell["switching"], cell["latency_ms"]) for cell in result["cells"]}
    serve = [
        str(arguments.server_env / "bin/python"),
        "-m",
        "handover_client.cli",
        "serve",
    ]
    serve += ["--checkpoint", arguments.checkpoint, "--device", arguments.device, "--port", "0"]
    with server_process(*serve) as server:
        for way, ms in wanted:
            if (way, ms) in done:
                continue
            flags = ["--switching", way, "--latency-ms", str(ms), "--task", arguments.task]
            for name in ("episodes", "seed", "execute_steps", "workers"):
                flags += ["--" + name.replace("_", "-"), str(getattr(arguments, name))]
            figures = roll_out(server, cells / f"{way}_{ms}", flags)
            result["cells"].append({"switching": way, "latency_ms": ms, **figures})
            write_result(result)
    print_table(result["cells"])
    print(RESULT)


def print_table(cells: list[dict[str, Any]]) -> None:
    """Print a line for each cell."""
    print("latency, ms  switching      success  strict  jerk  at borders, rad/s³  pull, rad/s²")
    for cell in sorted(cells, key=lambda cell: cell["latency_ms"]):
        jerk, at_borders, pull = (
            "–" if cell[name] is None else f"{cell[name]['p50']:.0f}" for name in _SPREADS[1:]
        )
        print(
            f"{cell['latency_ms']:>11}  {cell['switching']:<13}  {cell['success_rate']:>7.0%}  "
            f"{cell['strict']['success_rate']:>6.0%}  {jerk:>4}  {at_borders:>18}  {pull:>12}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Success and jerk by latency and switching.")
    parser.add_argument("--checkpoint", default="checkpoints/aloha-mini")
    parser.add_argument("--folder", type=Path, default=Path("runs/real_time"))
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--execute-steps", type=int, default=8)
    parser.add_argument("--task", choices=("transfer_cube", "insertion"), default="transfer_cube")
    parser.add_argument("--switchings", nargs="+", default=SWITCHINGS)
    parser.add_argument("--latencies-ms", nargs="+", type=int, default=LATENCIES_MS)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--server-env", type=Path, default=Path(".venv-server"))
    main(parser.parse_args())
