"""What to expect of a CPU with the published sizes: seconds to SERVING, memory, seconds a chunk.

    python -m benchmarks.serving.full_size_cpu [--work DIR]          random weights, 6 GB on disk
    python -m benchmarks.serving.full_size_cpu --tiny                 the small network, as a trial
    python -m benchmarks.serving.full_size_cpu --table                what is there, into the docs

For a quiet machine with memory for the network in float32 (15 GB). No time depends on the values of
weights, which benchmarks.inference.full_size draws; a folder that is there already is kept.
"""

import json
import re
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from handover_client.connection.policy_client import PolicyClient
from handover_proto import example_request

from benchmarks.harness.docs_table import markdown, write_table
from benchmarks.harness.jobs import python
from benchmarks.harness.machine import OthersAtWork, cpu_s_of
from benchmarks.harness.result_file import FOLDER, write_result
from benchmarks.harness.server_process import server_process
from benchmarks.serving.load import SERVE

NAME, TRIAL = "full_size_cpu", "gpu_day_trial"  # results of trials are kept apart: they are none
Dtype = Literal["float32", "bfloat16"]
BYTES = {"float32": 4, "bfloat16": 2}

_GIB = 1024**3
_PARAMETERS = 3.3e9  # of the published sizes, the embedding and every embodiment's parts included
_ROOM = 1.3  # for what is beside the weights
NOTHING = (
    f"Not measured yet: `python -m benchmarks.serving.{NAME}` on a quiet machine fills this in."
)


@dataclass(frozen=True)
class FullSizeOnCpu:
    """Serve the published sizes on this CPU, in float32 and in bfloat16."""

    work: Path = Path(tempfile.gettempdir()) / "handover-full-size"
    """Folder for the checkpoint"""
    dtypes: tuple[Dtype, ...] = ("bfloat16", "float32")
    chunks: int = 5
    """How many are asked for, after one that is not counted"""
    start_s: float = 900.0
    """Within which a server has to answer"""
    tiny: bool = False
    """The small checkpoint's network: tries the way, measures nothing"""
    table: bool = False
    """Only write the table into docs/serving.md"""


def main(config: FullSizeOnCpu) -> Path:
    """Draw weights where there are none, serve them in each type; returns the figures' file."""
    result_path = FOLDER / f"{NAME}.json"
    if config.table:
        write_table(NAME, page_part(result_path))
        return result_path
    if not config.tiny:
        for dtype in config.dtypes:
            _check_memory(dtype)
    name = f"{TRIAL}/{NAME}" if config.tiny else NAME
    checkpoint = config.work / ("tiny" if config.tiny else "full-size")
    trial = ("--horizon", "None") if config.tiny else ()
    weights = (
        "--output",
        checkpoint,
        "--device",
        "cpu",
        "--name",
        f"{TRIAL}/{NAME}_weights",
        *trial,
    )
    subprocess.run(python("benchmarks.inference.full_size", *weights), check=True)
    others = OthersAtWork()
    served = {dtype: _measure(config, checkpoint, dtype) for dtype in config.dtypes}
    result = {
        "what": "random weights of the published sizes on a CPU: seconds to SERVING, resident "
        "memory, seconds and CPU seconds of a chunk (one client, a raw frame of 256x256)",
        "chunks": config.chunks,
        "other_processes_cores": others.cores(),
        "served": served,
    }
    print(path := write_result(name, result))
    return path


def _measure(config: FullSizeOnCpu, checkpoint: Path, dtype: Dtype) -> dict[str, Any]:
    flags = ("--checkpoint", str(checkpoint), "--device", "cpu", "--dtype", dtype)
    began_s = time.monotonic()
    with server_process(*SERVE, *flags, ready_s=config.start_s) as server:
        ready_s = time.monotonic() - began_s
        took_s, cpu_s = [], []
        with PolicyClient.connect(server.address, timeout_s=config.start_s) as client:
            request = example_request(client.info.spec)
            for seed in range(config.chunks + 1):
                before_s, began_s = cpu_s_of(server.pid), time.monotonic()
                client.infer(request.observation, seed=seed, timeout_s=config.start_s)
                took_s.append(time.monotonic() - began_s)
                cpu_s.append(cpu_s_of(server.pid) - before_s)
        status = Path(f"/proc/{server.pid}/status").read_text()
    figures = {
        "serving_s": round(ready_s, 1),
        "resident_gib": _gib(status, "VmRSS"),
        "resident_most_gib": _gib(status, "VmHWM"),
        "chunk_s": round(statistics.median(took_s[1:]), 3),
        "chunk_cpu_s": round(statistics.median(cpu_s[1:]), 3),
        "each_chunk_s": [round(seconds, 3) for seconds in took_s[1:]],
    }
    print(f"{dtype}: {figures}", flush=True)
    return figures


def page_part(path: Path) -> str:
    """Give the table of what was measured; a sentence where nothing was."""
    if not path.exists():
        return NOTHING
    result = json.loads(path.read_text(encoding="utf-8"))
    header = ("weights", "s to SERVING", "GiB resident", "at most", "s a chunk", "CPU s a chunk")
    keys = ("serving_s", "resident_gib", "resident_most_gib", "chunk_s", "chunk_cpu_s")
    rows = [
        (dtype, *(f"{figures[key]:.1f}" for key in keys))
        for dtype, figures in result["served"].items()
    ]
    machine = result["machine"]
    about = f"{machine['cores']} cores of {machine['cpu']}, median of {result['chunks']}"
    busy = f"other work kept {result['other_processes_cores']:g} cores busy"
    return f"On {about}; {busy}:\n\n{markdown(header, rows)}"


def _check_memory(dtype: Dtype) -> None:
    found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    needed, room = _ROOM * BYTES[dtype] * _PARAMETERS, int(found[1]) * 1024 if found else 0
    if room < needed:
        raise SystemExit(
            f"{dtype} needs about {needed / _GIB:.0f} GiB, {room / _GIB:.0f} GiB are free: end "
            "other work, or measure fewer --dtypes"
        )


def _gib(status: str, field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    return round(int(found[1]) * 1024 / _GIB, 2) if found else 0.0


if __name__ == "__main__":
    main(tyro.cli(FullSizeOnCpu))
