"""Half an hour of mixed traffic: does memory stay flat, is every request accounted for?

    python -m benchmarks.serving.soak --minutes 30                       (extras serve and bench)
    python -m benchmarks.serving.soak --minutes 5 --checkpoint CHECKPOINT --name soak_mini

The server is a process of its own, with both gateways open and `--record` on. Samples go to a file
as they are taken; run again with the same --state after an interruption, the soak goes on with the
server that it had started. When this process is stopped (SIGSTOP, a laptop that sleeps), the server
ends its connections, as it should: they are opened anew, and the time does not count.
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

import numpy as np
import psutil
import tyro
from handover_proto.errors import PolicyError
from websockets.exceptions import WebSocketException

from benchmarks.harness.heartbeat import Heartbeat
from benchmarks.harness.result_file import write_result
from benchmarks.serving.soak_figures import recording, summary, table
from benchmarks.serving.soak_gateways import GatewayTraffic
from benchmarks.serving.soak_traffic import Traffic

READY_S = 120.0
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
    taken = samples(config)
    figures = summary(taken, 60 * config.warm_up_minutes)
    figures["config"] = {**dataclasses.asdict(config), "state": config.state.name}
    server.send_signal(signal.SIGTERM)
    server.wait(60)
    figures["recording"] = recording(config.state / "record", taken, RECORD_GB)
    print(table(figures))
    print(write_result(config.name, figures))
    for name in ("server.json", "samples.jsonl"):
        (config.state / name).unlink()
    shutil.rmtree(config.state / "record")


def start(config: SoakConfig) -> tuple[psutil.Process, Ports]:
    """Start a server that outlives this process."""
    log = config.state / "server.log"
    flags = ["--openpi-port", "0", "--openpi-rate-hz", "20", "--groot-zmq-port", "0"]
    flags += ["--record", str(config.state / "record"), "--record-max-gb", str(RECORD_GB)]
    policy = ["--checkpoint", config.checkpoint] if config.checkpoint else ["--policy", "hold"]
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "handover_server.serve.command", "--port", "0", *policy, *flags],
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
    random, heartbeat = np.random.default_rng(len(earlier)), Heartbeat()
    traffic, seen = Everybody(ports, random), Seen()
    began_s = time.monotonic() - done_s
    due_s = sample_due_s = time.monotonic()
    while (at_s := time.monotonic() - began_s) < total_s:
        if time.monotonic() >= sample_due_s:
            write_sample(config, server, at_s, seen)
            seen = Seen()
            sample_due_s = max(sample_due_s, time.monotonic() - 1.0) + config.sample_s
        outcome, fault = traffic.ask()
        due_s = max(due_s + 1 / config.rate_hz, time.monotonic() - 1.0)
        time.sleep(max(0.0, due_s - time.monotonic()))
        while stopped_s := heartbeat.stopped_s():
            outcome, fault = "(opened anew after a stop)", ""
            seen.stopped_s += stopped_s
            began_s += stopped_s
            with contextlib.suppress(ConnectionError, PolicyError, WebSocketException):
                traffic.close()
                traffic = Everybody(ports, random)  # unless it is stopped meanwhile once more
        seen.counts[outcome] += not fault
        seen.faults += [fault] if fault else []
    write_sample(config, server, at_s, seen)
    traffic.close()


class Everybody:
    """All kinds of clients, of which one asks at a time."""

    def __init__(self, ports: Ports, random: np.random.Generator) -> None:
        openpi, groot = (int(ports[name].rpartition(":")[2]) for name in ("openpi", "Isaac-GR00T"))
        self._random = random
        self._parts = (
            Traffic(ports["serving"], random),
            GatewayTraffic(openpi, groot, random),
        )
        kinds = {name: kind for part in self._parts for name, kind in part.kinds.items()}
        weights = np.array([weight for _, weight in kinds.values()], float)
        self._asks = [(name, ask) for name, (ask, _) in kinds.items()]
        self._shares = weights / weights.sum()

    def ask(self) -> tuple[str, str]:
        """Let one of them ask; returns its outcome, and a fault or nothing."""
        name, ask = self._asks[self._random.choice(len(self._asks), p=self._shares)]
        try:
            return f"{name}: {ask()}", ""
        except Exception as error:  # every fault is a finding, and the soak goes on
            return name, f"{name}: {type(error).__name__}: {error}"

    def close(self) -> None:
        """End every connection."""
        for part in self._parts:
            part.close()


@dataclass
class Seen:
    """What was asked since the last sample."""

    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    faults: list[str] = dataclasses.field(default_factory=list)
    stopped_s: float = 0.0


def write_sample(config: SoakConfig, server: psutil.Process, at_s: float, seen: Seen) -> None:
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
        **vars(seen),
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


def samples(config: SoakConfig) -> list[dict]:
    """What has been sampled so far."""
    with contextlib.suppress(FileNotFoundError):
        return [json.loads(line) for line in (config.state / "samples.jsonl").open()]
    return []


if __name__ == "__main__":
    main(tyro.cli(SoakConfig))
