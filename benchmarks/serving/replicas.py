"""One of three servers dies under load: how many requests are lost, and how long they take.

    python -m benchmarks.serving.replicas                 (extra serve; nginx where it is installed)

Clients ask as fast as they are answered, with raw 480×640 frames over TLS and with a token. After a
third of the requests one server gets SIGKILL; after two thirds it is started again. Three ways are
tried: gRPC's round_robin over the list of servers, nginx between, and round_robin with the retry
policy switched off, which shows what the policy is for.
"""

import shutil
import socket
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tyro
from handover_client import ChannelSecurity, Observation, PolicyClient
from handover_proto import GR1_DIMS, PolicyError

from benchmarks.harness.result_file import write_result
from benchmarks.serving.replica_fleet import HOST, Nginx, Replica, make_secrets

SERVERS = 3
TIMEOUT_S = 30.0
ChannelOptions = Sequence[tuple[str, int | str]]
WITHOUT_RETRIES: ChannelOptions = (("grpc.enable_retries", 0),)


@dataclass(frozen=True)
class ReplicasConfig:
    """Kill one of three servers under load, and count."""

    requests: int = 900
    """Requests in each way, over all clients."""
    clients: int = 4
    """Robots at once, each with a connection of its own."""
    checkpoint: str | None = None
    """What is served; by default the hold policy, which costs nothing."""
    result: str = "replicas"
    """Name of the file in benchmarks/results."""


@dataclass
class Tally:
    """What became of the requests of one way."""

    total: int
    begun_s: float = field(default_factory=time.monotonic)
    latencies_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def done(self, sequence: int | None, latency_ms: float, error: str = "") -> None:
        """Count one request: the sequence of its answer, or its error."""
        with self.changed:
            if sequence is None:
                self.errors[error] += 1
            else:
                self.answers[sequence] += 1
                self.latencies_ms.append(latency_ms)
            self.changed.notify_all()

    def wait(self, share: float) -> None:
        """Wait until this share of the requests has been answered or has failed."""
        with self.changed:
            self.changed.wait_for(
                lambda: self.answers.total() + self.errors.total() >= share * self.total
            )

    def figures(self) -> dict[str, object]:
        """Sum up."""
        cuts = statistics.quantiles(self.latencies_ms, n=1000, method="inclusive")
        duration_s = time.monotonic() - self.begun_s
        return {
            "requests": self.total,
            "answered_once": sum(count == 1 for count in self.answers.values()),
            "answered_twice": sum(count > 1 for count in self.answers.values()),
            "lost": self.total - len(self.answers),
            "errors_seen_by_clients": dict(self.errors),
            "requests_per_s": round(len(self.latencies_ms) / duration_s, 1),
            "latency_ms": {
                **{f"p{share:g}": round(cuts[int(share * 10) - 1], 2) for share in (50, 99, 99.9)},
                "max": round(max(self.latencies_ms), 2),
            },
        }


def frame() -> Observation:
    """A camera's raw frame and a robot's state."""
    state = {name: np.zeros((1, dim), np.float32) for name, dim in GR1_DIMS.items()}
    return Observation({"ego_view": [np.zeros((480, 640, 3), np.uint8)]}, state, "hand it over")


def measure(
    config: ReplicasConfig,
    address: str,
    security: ChannelSecurity,
    victim: Replica,
    channel_options: ChannelOptions = (),
) -> dict[str, object]:
    """Ask through one way while a server is killed and started again."""
    observation, tally = frame(), Tally(config.requests)

    def robot(number: int) -> None:
        with PolicyClient.connect(
            address, timeout_s=TIMEOUT_S, security=security, channel_options=channel_options
        ) as client:
            for sequence in range(number, config.requests, config.clients):
                start_s = time.perf_counter()
                try:
                    chunk = client.infer(observation, sequence=sequence, timeout_s=TIMEOUT_S)
                    tally.done(chunk.sequence, (time.perf_counter() - start_s) * 1e3)
                except PolicyError as error:
                    tally.done(None, 0.0, type(error).__name__)

    with ThreadPoolExecutor(config.clients) as robots:
        running = [robots.submit(robot, number) for number in range(config.clients)]
        tally.wait(1 / 3)
        victim.kill()
        tally.wait(2 / 3)
        victim.start()
        for one in running:
            one.result()
    victim.wait()
    return tally.figures()


def free_port() -> int:
    """Find a port that nobody has."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def main(config: ReplicasConfig) -> None:
    """Measure every way and write the result."""
    flags = ("--checkpoint", config.checkpoint) if config.checkpoint else ("--policy", "hold")
    figures: dict[str, object] = {
        "served": Path(config.checkpoint).name if config.checkpoint else "hold",
        "servers": SERVERS,
        "clients": config.clients,
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        secrets = make_secrets(folder)
        ca, token = (secrets / "ca.pem").read_bytes(), (secrets / "token").read_text().strip()
        security = ChannelSecurity(tls=True, ca=ca, token=token)
        fleet = [Replica(flags, secrets, folder / f"{n}.log") for n in range(SERVERS)]
        try:
            for replica in fleet:
                replica.start()
            servers = [replica.wait() for replica in fleet]
            address, victim = ",".join(servers), fleet[1]
            figures["round_robin"] = measure(config, address, security, victim)
            program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
            if program:
                with Nginx(program, free_port(), servers, secrets, folder) as proxy:
                    figures["nginx"] = measure(config, proxy.address, security, victim)
            figures["round_robin_without_retries"] = measure(
                config, address, security, victim, WITHOUT_RETRIES
            )
        finally:
            for replica in fleet:
                replica.kill()
    for way, found in figures.items():
        print(f"{way:<30}{found}")
    print(write_result(config.result, figures))


if __name__ == "__main__":
    main(tyro.cli(ReplicasConfig))
