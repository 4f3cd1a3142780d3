"""Faults while `handover drive` drives, and what the robot was told: one session, one episode each.

    python -m benchmarks.robots.faults --robot sim --output FOLDER
    ARMS/bin/python -m benchmarks.robots.faults --robot trossen --output FOLDER

sim needs the extra sim, trossen the environment ARMS of docs/robot.md.

FOLDER/findings.json has a finding for each fault; what it holds is in benchmarks.robots.told.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import tyro
from handover_common import write_json

from benchmarks.harness.pseudo_terminal import PseudoTerminal
from benchmarks.robots import two_arms
from benchmarks.robots.film_server import FilmServer
from benchmarks.robots.told import Finding, told

LONG_S = 150.0  # on a busy machine
STALE_S, FROZEN_S, GIVE_UP_S = 1.0, 3.0, 120.0
FAULT_S = 4.0  # how long a fault lasts, where it does


@dataclass(frozen=True)
class FaultsConfig:
    """Drive a robot under faults."""

    robot: Literal["sim", "trossen"]
    """Which: sim needs the extra sim, trossen the environment of docs/robot.md."""
    output: Path
    """Folder for the session and its findings."""


@dataclass
class Session:
    """A robot being driven, and what can be done to it."""

    terminal: PseudoTerminal
    mode: Path  # of the policy
    restart_policy: Callable[[], None]
    kill_policy: Callable[[], None]
    arm: "Stoppable"
    camera: "Stoppable"
    again: Callable[[], Any] | None  # another session of two arms, one of which may be killed
    place: int = 0  # of the screen
    faults: list[tuple[str, str]] = field(default_factory=list)

    def wait(self, words: str) -> None:
        """Wait until the operator is told."""
        self.place = self.terminal.wait_for(words, LONG_S, self.place)

    def start(self, fault: str, injected: str) -> None:
        """Begin an episode, and let the policy drive."""
        self.faults.append((fault, injected))
        self.place = two_arms.start_episode(self.terminal, LONG_S, self.place)
        self.wait("policy drives")
        time.sleep(1.0)

    def end(self) -> None:
        """End it as a success."""
        self.terminal.press("s")
        self.wait("success,")


class Stoppable:
    """What can be frozen, and go on."""

    def __init__(self, stop: Callable[[], None], go_on: Callable[[], None]) -> None:
        self.stop, self.go_on = stop, go_on


def main(config: FaultsConfig) -> None:
    """Run all faults, and write what they found."""
    config.output.mkdir(parents=True)
    driven = config.output / "driven"
    with ExitStack() as stack:
        session, ledgers = stack.enter_context(_SESSIONS[config.robot](config.output, driven))
        for fault in _FAULTS:
            fault(session)
            print(session.faults[-1][0], flush=True)
        _end(session)
        findings = [
            told(config.robot, fault, injected, driven, number)
            for number, (fault, injected) in enumerate(session.faults)
        ]
        if session.again is not None:
            findings.append(cut_arm(session, config.output))
        arms = ledgers()
    load = round(os.getloadavg()[1], 1)  # of the last five minutes
    outside = sum(ledger["outside"] + ledger["not_finite"] for ledger in arms)
    write_json(
        config.output / "findings.json",
        {
            "findings": [{**asdict(finding), "load_average": load} for finding in findings],
            "outside_at_the_arms": outside,
        },
    )


def killed_server(session: Session) -> None:
    """The server dies, and is started again on its port."""
    session.start("server killed and restarted", f"SIGKILL; started again after {FAULT_S:g} s")
    session.kill_policy()
    session.wait("holds: the last chunk is over")
    time.sleep(FAULT_S)
    session.restart_policy()
    session.wait("policy drives")
    time.sleep(1.0)
    session.end()


def late_answers(session: Session) -> None:
    """Every answer comes a second late, longer than a chunk lasts."""
    session.start("latency of 1 s", "each answer a second late; chunks last 0.8 s")
    session.mode.write_text("slow")
    session.wait("holds: the last chunk is over")
    time.sleep(FAULT_S)
    session.mode.write_text("swing")
    session.wait("policy drives")
    time.sleep(1.0)
    session.end()


def silent_arm(session: Session) -> None:
    """The arm's controller sends nothing for a while."""
    words = f"no measurement for {FAULT_S:g} s; --stale-s {STALE_S:g}"
    session.start("an arm is silent", words)
    session.arm.stop()
    session.wait("holds: old joints")
    time.sleep(max(0.0, FAULT_S - STALE_S - 1))
    session.arm.go_on()
    session.wait("policy drives")
    time.sleep(1.0)
    session.end()


def frozen_camera(session: Session) -> None:
    """The camera sends no more pictures for a while."""
    words = f"no new picture until the robot has held for a while; --frozen-s {FROZEN_S:g}"
    session.start("a camera is frozen", words)
    session.camera.stop()
    session.wait("is frozen")
    time.sleep(1.0)
    session.camera.go_on()
    session.wait("policy drives")
    time.sleep(1.0)
    session.end()


def _hostile(fault: str, mode: str, injected: str) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        session.start(fault, injected)
        session.mode.write_text(mode)
        time.sleep(FAULT_S)
        session.mode.write_text("swing")
        time.sleep(1.0)
        session.end()

    return run


def not_a_number(session: Session) -> None:
    """The policy answers NaN: the episode ends."""
    session.start("hostile policy: NaN", "NaN for every joint")
    session.mode.write_text("nan")
    session.wait("s success, f failure")
    session.mode.write_text("swing")
    session.terminal.press("f")
    session.wait("failure,")


_FAULTS = (
    killed_server,
    late_answers,
    silent_arm,
    frozen_camera,
    _hostile("hostile policy: jumps", "jump", "±2 rad, the other way at each step of a chunk"),
    _hostile("hostile policy: far out of range", "range", "6 rad for each joint, grippers 1.9"),
    _hostile("hostile policy: random numbers", "wild", "±6 rad, others at each step of a chunk"),
    not_a_number,
)


def _end(session: Session) -> None:
    """Wait for its end, after as many episodes as it was told: the dataset is written."""
    if status := session.terminal.wait(LONG_S):
        raise SystemExit(f"handover drive ended with {status}:\n{session.terminal.screen[-4000:]}")


def cut_arm(session: Session, folder: Path) -> Finding:
    """Another session, in which an arm's connection is cut for good: its controller is killed."""
    assert session.again is not None
    with session.again() as (terminal, arms):
        two_arms.start_episode(terminal, LONG_S)
        terminal.wait_for("policy drives", LONG_S)
        time.sleep(1.0)
        arms[1].process.kill()
        status = terminal.wait(LONG_S)
        said = terminal.screen.rpartition("handover: ")[2].split(":")[0]
    left = json.loads((folder / "arm1.json").read_text())
    last_s = left["course"][-1][0]
    words = f"the other arm was braked and held; `{' '.join(said.split())}`"
    return Finding(
        "trossen",
        "an arm's connection is cut",
        "its controller is killed",
        words,
        f"status {status}; the session goes on with the same command",
        left["outside"] + left["not_finite"],
        [
            f"{row[0] - last_s:.1f} s: left_waist told {row[1]:.3f}"
            for row in left["course"][-40::2]
        ],
    )


@contextmanager
def _trossen(folder: Path, driven: Path) -> Iterator[tuple[Session, Callable[[], list[Any]]]]:
    if two_arms.missing():
        raise SystemExit(f"no {two_arms.missing()}: {two_arms.HOW_TO_INSTALL}")
    import yaml  # pyright: ignore[reportMissingModuleSource]

    with ExitStack() as stack:
        arms = stack.enter_context(two_arms.two_arms(folder))
        film = stack.enter_context(FilmServer(two_arms.HEIGHT, two_arms.WIDTH))
        policy = stack.enter_context(_Policy(folder / "mode", two_arms.CENTRE))
        settings = two_arms.settings([arm.address for arm in arms], film.address, lost_after_s=60.0)
        config = folder / "arms.yaml"
        config.write_text(yaml.safe_dump(settings))
        terminal = stack.enter_context(
            two_arms.drive(policy.address, config, driven, *_limits(len(_FAULTS)))
        )
        controller = arms[1].process

        @contextmanager
        def again() -> Iterator[Any]:
            output = folder / "cut"
            with two_arms.drive(policy.address, config, output, *_limits(1)) as terminal:
                yield terminal, arms

        yield (
            Session(
                terminal,
                folder / "mode",
                policy.start,
                policy.kill,
                Stoppable(
                    lambda: controller.send_signal(signal.SIGSTOP),
                    lambda: controller.send_signal(signal.SIGCONT),
                ),
                Stoppable(film.freeze, film.thaw),
                again,
            ),
            lambda: [arms[0].end(), arms[1].ledger()],
        )


@contextmanager
def _sim(folder: Path, driven: Path) -> Iterator[tuple[Session, Callable[[], list[Any]]]]:
    settings = folder / "sim.json"
    settings.write_text(json.dumps({"look": "plain", "camera_rate_hz": 10}))
    with ExitStack() as stack:
        policy = stack.enter_context(_Policy(folder / "mode", None))
        words = ["drive", "--robot", "sim", "--robot-config", settings, "--server", policy.address]
        words += ["--camera", "ego_view=top", "--task", "Swing.", "--output", driven]
        command = [sys.executable, "-m", "handover_client.cli", *words, *_limits(len(_FAULTS))]
        terminal = stack.enter_context(
            PseudoTerminal([str(word) for word in command], two_arms.environment())
        )

        def part(number: int) -> Stoppable:
            """Physics is the first process of the robot, the cameras are the second."""

            def send(which: signal.Signals) -> None:
                os.kill(_processes_of(terminal.process.pid)[number], which)

            return Stoppable(lambda: send(signal.SIGSTOP), lambda: send(signal.SIGCONT))

        mode = folder / "mode"
        yield (
            Session(terminal, mode, policy.start, policy.kill, part(0), part(1), None),
            list,
        )


class _Policy:
    """The moving policy, which can be killed and started again on its port."""

    def __init__(self, mode: Path, centre: list[float] | None) -> None:
        self._mode, self._centre, self._stack = mode, centre, ExitStack()
        self.address = ""
        mode.write_text("swing")

    def start(self) -> None:
        port = int(self.address.rpartition(":")[2] or 0)
        self._process, self.address = self._stack.enter_context(
            two_arms.moving_policy(self._mode, self._centre, port)
        )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(60)

    def __enter__(self) -> "_Policy":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


def _processes_of(parent: int) -> list[int]:
    """The processes that a Python has spawned, the oldest first."""
    found = []
    for task in Path(f"/proc/{parent}/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text().split()]
    return [
        pid for pid in sorted(found) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def _limits(episodes: int) -> list[str]:
    limits = {"stale-s": STALE_S, "frozen-s": FROZEN_S, "give-up-s": GIVE_UP_S}
    limits |= {"episodes": episodes, "max-seconds": 300}
    return [word for name, value in limits.items() for word in (f"--{name}", f"{value:g}")]


_SESSIONS = {"sim": _sim, "trossen": _trossen}

if __name__ == "__main__":
    sys.exit(main(tyro.cli(FaultsConfig)))
