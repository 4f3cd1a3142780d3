"""Arena: a server process under one attack, its memory, and an innocent client beside it.

An attack is a module of this folder with an `ATTACK` and a function `strike(target)`, which goes on
until its process is killed. It runs as a program of its own, with PYTHONPATH=tests:

    python -m chaos.attacks.refused_requests '{"grpc": "127.0.0.1:50051"}'
"""

import contextlib
import dataclasses
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..server_process import ROOT, SHIPPED, ServerProcess

CALM_S, ATTACK_S, REST_S = 10.0, 20.0, 60.0
MORE_MIB, BACK_MIB = 512, 64  # what an attack may cost while it lasts, and a minute later
TIMES = 5.0  # of its own p99, for the innocent client: the goal
_LOOK_S = 0.05
_PORTS = {
    "openpi": re.compile(r"openpi clients on (\S+)\n"),
    "zmq": re.compile(r"Isaac-GR00T clients on (\S+)\n"),
    "metrics": re.compile(r".*metrics and health: https?://([^\s/\"]+)"),
}


@dataclass(frozen=True)
class Attack:
    """One line of the table: what is done, and with which flags the server runs."""

    name: str
    done: str
    flags: tuple[str, ...] = ()
    seconds: float = ATTACK_S
    limit: int | None = None  # of the server's open files


@dataclass(frozen=True)
class Target:
    """Addresses of the server under attack, HOST:PORT each; "" for a port that is not open."""

    grpc: str
    openpi: str = ""
    zmq: str = ""
    metrics: str = ""
    pid: int = 0


@dataclass(frozen=True)
class AttackFinding:
    """What an attack cost: the server's memory in MiB, the innocent client's p99 in ms."""

    attack: str
    done: str
    before_mib: float
    during_mib: float
    after_mib: float
    calm_p99_ms: float
    attacked_p99_ms: float
    calm: dict[str, int]
    attacked: dict[str, int]
    stop_s: float
    """From SIGTERM to the server's end, with --drain-s 3."""

    @property
    def times(self) -> float:
        """The innocent client's p99 under attack, in times of its own."""
        return self.attacked_p99_ms / self.calm_p99_ms


class Memory:
    """Resident memory of a process, looked at all the time; Linux alone tells."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._peak = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def now_mib(self) -> float:
        """Resident memory now."""
        with contextlib.suppress(OSError, ProcessLookupError):
            found = re.search(r"VmRSS:\s+(\d+) kB", self._status.read_text())
            return int(found[1]) / 1024 if found else 0.0
        return 0.0

    def peak_mib(self) -> float:
        """Most of it since the last call."""
        peak, self._peak = self._peak, 0.0
        return max(peak, self.now_mib())

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_S):
            self._peak = max(self._peak, self.now_mib())


class Innocent:
    """The innocent client: a process that asks for chunks as a robot does, all the time."""

    def __init__(self, address: str) -> None:
        self._process = _program("chaos.attacks.innocent", address, stdout=subprocess.PIPE)
        self._asked: list[tuple[float, float, str]] = []  # when, ms, outcome
        threading.Thread(target=self._read, daemon=True).start()

    def since(self, began_s: float) -> tuple[float, dict[str, int]]:
        """Return p99 in ms and outcomes of what was asked since then (time.monotonic())."""
        asked = [one for one in list(self._asked) if one[0] >= began_s]
        assert len(asked) > 1, "the innocent client asked nothing"
        took_ms = [ms for _, ms, outcome in asked if not outcome.startswith("newcomer")]
        p99 = statistics.quantiles(took_ms, n=100, method="inclusive")[98]
        return round(p99, 2), dict(Counter(outcome for _, _, outcome in asked).most_common())

    def wait_for_one(self) -> None:
        """Wait until it was answered."""
        until_s = time.monotonic() + 60
        while not self._asked:
            assert time.monotonic() < until_s, "the innocent client was not answered"
            time.sleep(0.01)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            at, ms, outcome = line.split()
            self._asked.append((float(at), float(ms), outcome))


@contextlib.contextmanager
def cores_apart() -> Iterator[None]:
    """Leave the last core to the attackers, who are on machines of their own in the world."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[:-1])  # what is started from here on stays there
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@cores_apart()
def fight(module: str, attack: Attack) -> AttackFinding:
    """Run an attack of this folder against a server of its own."""
    wrap = ("sh", "-c", f'ulimit -S -n {attack.limit} && exec "$@"', "sh") if attack.limit else ()
    server = ServerProcess("--drain-s", "3", *attack.flags, wrap=wrap, program=SHIPPED)
    with server, contextlib.closing(Innocent(server.address)) as innocent:
        innocent.wait_for_one()
        target = target_of(server)
        with Memory(target.pid) as memory:
            calm_s = time.monotonic()
            time.sleep(CALM_S)
            calm = innocent.since(calm_s)
            before = memory.peak_mib()
            attacked_s = time.monotonic()
            with striking(module, target):
                time.sleep(attack.seconds)
                attacked = innocent.since(attacked_s)
                during = memory.peak_mib()
            after = _settled(memory, before)
        stop_s = _stop(server)
    return AttackFinding(
        attack.name,
        attack.done,
        *(round(mib, 1) for mib in (before, during, after)),
        *(calm[0], attacked[0], calm[1], attacked[1], round(stop_s, 2)),
    )


def target_of(server: ServerProcess) -> Target:
    """Read the server's ports off its log."""
    found = {
        name: match[1]
        for name, pattern in _PORTS.items()
        for line in server.log
        if (match := pattern.match(line))
    }
    return Target(server.address, pid=server.pid, **found)


@contextlib.contextmanager
def striking(module: str, target: Target) -> Iterator[None]:
    """Attack for as long as the block lasts."""
    attacker = _program(f"chaos.attacks.{module}", json.dumps(dataclasses.asdict(target)))
    try:
        yield
        assert attacker.poll() is None, f"the attacker of {module} ended: {attacker.returncode}"
    finally:
        attacker.kill()
        attacker.wait()


def strike_from_command_line(strike: Callable[[Target], None]) -> None:
    """Run an attack on the target that the command line names, until the process is killed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if (cores := os.cpu_count() or 1) > 1:
        with contextlib.suppress(OSError):  # not ours: see cores_apart
            os.sched_setaffinity(0, {cores - 1})
    strike(Target(**json.loads(sys.argv[1])))


def in_threads(count: int, work: Callable[[int], object]) -> None:
    """Call `work` with each number again and again, each in a thread; a failed call is repeated."""

    def repeat(number: int) -> None:
        while True:
            try:
                work(number)
            except Exception as error:
                print(f"attacker {number}: {error!r:.200}", file=sys.stderr)
                time.sleep(0.05)

    threads = [threading.Thread(target=repeat, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def split_address(address: str) -> tuple[str, int]:
    """Split HOST:PORT."""
    host, _, port = address.rpartition(":")
    return host, int(port)


def connect(address: str, source: str = "127.0.0.1") -> socket.socket:
    """Connect from an address of this machine."""
    return socket.create_connection(split_address(address), 30, (source, 0))


def _settled(memory: Memory, before: float) -> float:
    """Memory once it is back, or a minute after the attack."""
    until_s = time.monotonic() + REST_S
    while memory.now_mib() > before + BACK_MIB / 2 and time.monotonic() < until_s:
        time.sleep(0.5)
    return memory.now_mib()


def _stop(server: ServerProcess) -> float:
    began_s = time.monotonic()
    server.signal(signal.SIGTERM)
    server.wait()
    return time.monotonic() - began_s


def _program(module: str, argument: str, stdout: int | None = None) -> "subprocess.Popen[str]":
    path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", module, argument],
        stdout=stdout,
        stderr=subprocess.DEVNULL if "ATTACK_LOG" not in os.environ else None,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
