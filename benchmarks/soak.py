"""Half an hour of mixed traffic: does memory stay flat, is every request accounted for?

    python benchmarks/soak.py --minutes 30                       (extras serve and bench)
    python benchmarks/soak.py --minutes 5 --checkpoint checkpoints/aloha-mini --name soak_mini

The server is a process of its own, with both gateways open and `--record` on. Samples go to a file
as they are taken; run again with the same --state after an interruption, the soak goes on with the
server that it had started.
"""

import contextlib
import ctypes
import dataclasses
import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tyro
from handover_proto.recording import Damage, read_recording
from result_file import write_result
from soak_gateways import GatewayTraffic
from soak_traffic import Traffic

READY_S = 120.0
WINDOW_S = 180.0  # memory is averaged over this long at either end
RECORD_GB = 0.1  # small enough to be filled, so that the oldest is deleted all the time

Ports = dict[str, str]  # what listens -> its address


@dataclass(frozen=True)
class SoakConfig:
    """Send mixed traffic for a while and watch the server's memory."""

    minutes: float = 30.0
    """Of traffic after the warm-up."""
    warm_up_minutes: float = 3.0
    """Of traffic before memory counts: caches fill, arenas grow."""
    rate_hz: float = 6.0
    """Requests or visits per second."""
    checkpoint: str = ""
    """Checkpoint to serve; the hold policy without one."""
    name: str = "soak"
    """Of the file below benchmarks/results."""
    state: Path = Path("runs/soak")
    """Folder for the samples and the server's log."""
    sample_s: float = 5.0
    """Seconds between samples."""


def main(config: SoakConfig) -> None:
    """Run or resume the soak, print a table, write results/NAME.json."""
    config.state.mkdir(parents=True, exist_ok=True)
    server, ports = attach(config) or start(config)
    try:
        soak(config, server, ports)
    except KeyboardInterrupt:
        print(f"interrupted; run again with --state {config.state} to go on")
        return
    figures = summary(config)
    server.send_signal(signal.SIGTERM)
    server.wait(60)
    figures["recording"] = recording(config)
    print(table(figures))
    print(write_result(config.name, figures))
    for name in ("server.json", "samples.jsonl"):
        (config.state / name).unlink()
    shutil.rmtree(config.state / "record")


def start(config: SoakConfig) -> tuple[psutil.Process, Ports]:
    """Start a server that outlives this process."""
    log = config.state / "server.log"
    flags = ["--openpi-port", "0", "--groot-zmq-port", "0"]
    flags += ["--record", str(config.state / "record"), "--record-max-gb", str(RECORD_GB)]
    policy = ["--checkpoint", config.checkpoint] if config.checkpoint else ["--policy", "hold"]
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "handover_server.serve", "--port", "0", *policy, *flags],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    until = time.monotonic() + READY_S
    while not re.search(r"^serving .* on ", log.read_text(), re.MULTILINE):
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"the server did not start: {log.read_text()[-500:]}")
        time.sleep(0.2)
    server = psutil.Process(process.pid)
    found = re.findall(r"^(serving|\S+) .*on (\S+:\d+)$", log.read_text(), re.MULTILINE)
    state = {"pid": server.pid, "created": server.create_time(), "ports": dict(found)}
    (config.state / "server.json").write_text(json.dumps(state))
    (config.state / "samples.jsonl").write_text("")
    return server, state["ports"]


def attach(config: SoakConfig) -> tuple[psutil.Process, Ports] | None:
    """Find the server of an interrupted soak; None where there is none."""
    with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess):
        state = json.loads((config.state / "server.json").read_text())
        server = psutil.Process(state["pid"])
        if server.create_time() == state["created"] and server.is_running():
            return server, state["ports"]
    return None


def soak(config: SoakConfig, server: psutil.Process, ports: Ports) -> None:
    """Send what is left of the traffic; a sample every few seconds."""
    earlier = samples(config)
    done_s = earlier[-1]["at_s"] if earlier else 0.0
    total_s = 60 * (config.minutes + config.warm_up_minutes)
    traffic = Traffic(ports["serving"], np.random.default_rng(len(earlier)))
    openpi, groot = (int(ports[name].rpartition(":")[2]) for name in ("openpi", "Isaac-GR00T"))
    gateways = GatewayTraffic(openpi, groot, traffic.random)
    kinds = {**traffic.kinds, **gateways.kinds}
    names, weights = list(kinds), np.array([weight for _, weight in kinds.values()], float)
    counts: Counter[str] = Counter()
    faults: list[str] = []
    began_s = time.monotonic() - done_s
    due_s, sample_due_s = time.monotonic(), time.monotonic()
    while (at_s := time.monotonic() - began_s) < total_s:
        if time.monotonic() >= sample_due_s:
            write_sample(config, server, at_s, counts, faults)
            counts, faults = Counter(), []
            sample_due_s += config.sample_s
        name = names[traffic.random.choice(len(names), p=weights / weights.sum())]
        try:
            counts[f"{name}: {kinds[name][0]()}"] += 1
        except Exception as error:  # every fault is a finding, and the soak goes on
            faults.append(f"{name}: {type(error).__name__}: {error}")
        due_s = max(due_s + 1 / config.rate_hz, time.monotonic() - 1.0)
        time.sleep(max(0.0, due_s - time.monotonic()))
    write_sample(config, server, at_s, counts, faults)
    traffic.close()
    gateways.close()


def write_sample(
    config: SoakConfig,
    server: psutil.Process,
    at_s: float,
    counts: "Counter[str]",
    faults: list[str],
) -> None:
    """Append what the server holds now, and what was asked since the last sample.

    Of this process, what the C library keeps for later is given back first: what is left is held.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    cpu = server.cpu_times()
    sample = {
        "at_s": round(at_s, 1),
        "rss_mib": round(server.memory_info().rss / 2**20, 2),
        "files": server.num_fds(),
        "threads": server.num_threads(),
        "cpu_s": round(cpu.user + cpu.system, 2),
        "client_rss_mib": round(psutil.Process().memory_info().rss / 2**20, 2),
        "client_objects": len(gc.get_objects()),
        "record_mib": round(folder_mib(config.state / "record"), 2),
        "counts": counts,
        "faults": faults,
    }
    with (config.state / "samples.jsonl").open("a") as file:
        file.write(json.dumps(sample) + "\n")


def folder_mib(folder: Path) -> float:
    """What a folder's files hold; one may be deleted meanwhile."""
    total = 0
    for path in folder.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total / 2**20


def recording(config: SoakConfig) -> dict[str, object]:
    """What the black box holds at the end, read as `handover replay-requests` reads it."""
    kinds = Counter(type(record).__name__ for record in read_recording(config.state / "record"))
    return {
        "most_mib": max(sample["record_mib"] for sample in samples(config)),
        "bound_mib": round(RECORD_GB * 1e9 / 2**20, 2),
        "damaged_places": kinds[Damage.__name__],
        "records": dict(kinds),
    }


def samples(config: SoakConfig) -> list[dict]:
    """What has been sampled so far."""
    with contextlib.suppress(FileNotFoundError):
        return [json.loads(line) for line in (config.state / "samples.jsonl").open()]
    return []


def summary(config: SoakConfig) -> dict[str, Any]:
    """Memory before and after, by the minute, and what became of every request."""
    taken = samples(config)
    warm_s = 60 * config.warm_up_minutes
    kept = [sample for sample in taken if sample["at_s"] >= warm_s]
    window_s = min(WINDOW_S, (kept[-1]["at_s"] - warm_s) / 3)
    first = [each for each in kept if each["at_s"] < warm_s + window_s]
    last = [each for each in kept if each["at_s"] > kept[-1]["at_s"] - window_s]
    outcomes = sum((Counter(sample["counts"]) for sample in taken), Counter())
    faults = [fault for sample in taken for fault in sample["faults"]]
    per_minute = {int(each["at_s"] // 60): each for each in taken}
    return {
        "what": "the server's resident memory under mixed traffic, warm-up left out; before and "
        f"after are means over {window_s:.0f} s",
        "config": {**dataclasses.asdict(config), "state": config.state.name},
        "rss_before_mib": mean(first, "rss_mib"),
        "rss_after_mib": mean(last, "rss_mib"),
        "rss_growth_percent": growth(first, last, "rss_mib"),
        "client_rss_growth_percent": growth(first, last, "client_rss_mib"),
        "client_objects_growth_percent": growth(first, last, "client_objects"),
        "files_before_after": [first[0]["files"], last[-1]["files"]],
        "threads_before_after": [first[0]["threads"], last[-1]["threads"]],
        "server_cpu_share": round(last[-1]["cpu_s"] / taken[-1]["at_s"], 4),
        "requests": outcomes.total(),
        "outcomes": dict(sorted(outcomes.items())),
        "faults": faults,
        "rss_mib_by_minute": {minute: each["rss_mib"] for minute, each in per_minute.items()},
        "client_rss_mib_by_minute": {m: each["client_rss_mib"] for m, each in per_minute.items()},
    }


def mean(part: list[dict], key: str) -> float:
    """Of a sample's number, over some samples."""
    return round(float(np.mean([each[key] for each in part])), 2)


def growth(first: list[dict], last: list[dict], key: str) -> float:
    """In percent of the first."""
    return round(100 * (mean(last, key) / mean(first, key) - 1), 2)


def table(figures: dict) -> str:
    """Memory every few minutes, and every outcome."""
    by_minute = figures["rss_mib_by_minute"]
    step = max(1, len(by_minute) // 10)
    lines = [f"{minute:>4} min {by_minute[minute]:8.1f} MiB" for minute in list(by_minute)[::step]]
    lines += [f"{count:>8}  {outcome}" for outcome, count in figures["outcomes"].items()]
    lines += [
        f"growth {figures['rss_growth_percent']:+.2f} %, faults {len(figures['faults'])}, "
        f"{figures['requests']} requests"
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main(tyro.cli(SoakConfig))
