"""Start and stop of a robot: connected, moved to its start slowly, braked, and held at the end.

Whatever ends a session (an error, a signal, the operator), the robot is braked within the guard's
limits and holds.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from handover_proto import PolicySpec

from handover_client.connection.foreign.open import AnyClient
from handover_client.drive.config import DriveConfig
from handover_client.drive.fit import Fit
from handover_client.drive.guard import Guard
from handover_client.drive.live import LiveView
from handover_client.drive.operator import Key, Phase
from handover_client.drive.robots.interface import Robot, RobotDescription

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Arrival = Literal["there", "stopped", "quit", "blocked"]


@dataclass(frozen=True)
class Setup:
    """What every episode of a session has in common."""

    config: DriveConfig
    robot: Robot
    client: AnyClient
    spec: PolicySpec  # that the fit is of: another policy does not drive the robot
    fit: Fit
    keys: Callable[[Phase, float], list[Key]]
    status: Callable[[str], None]
    live: LiveView | None = None

    @property
    def period_s(self) -> float:
        """Of a control step."""
        return 1 / self.robot.describe().control_rate_hz


@contextmanager
def connected(robot: Robot) -> Iterator[RobotDescription]:
    """Connect a robot; it holds and is released whatever happens."""
    robot.connect()
    try:
        yield robot.describe()
    finally:
        try:
            robot.hold()
        finally:
            robot.release()


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """Collect the signals that end a session, instead of being ended by them; a third one ends."""
    seen: list[int] = []

    def note(number: int, _: object) -> None:
        seen.append(number)
        if number == signal.SIGHUP:  # the terminal is gone, and writing to it would be an error
            _write_nowhere()
        if len(seen) > 2:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_nowhere() -> None:
    """Send what is written to a terminal that was closed nowhere; files and pipes stay."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for file in (1, 2):
        try:
            os.write(file, b"")
        except OSError:
            os.dup2(nowhere, file)
    os.close(nowhere)


def go_to_start(setup: Setup, guard: Guard, start: np.ndarray) -> Arrival:
    """Move slowly to the start pose, all joints together; returns how that ended, at rest."""
    config, period_s = setup.config, setup.period_s
    far = float(np.abs(start - guard.command).max())
    # in steps, which on a busy machine take longer than their period, and not in seconds
    steps_left = round((2 * far / config.start_rad_s + 5) / period_s)
    setup.status("moving to the start pose; space stops")
    while float(np.abs(start - guard.command).max()) > 1e-3:
        steps_left -= 1
        keys = setup.keys("moving", 0.0)
        if "quit" in keys or "stop" in keys or steps_left < 0:
            stop(setup, guard)
            return "quit" if "quit" in keys else "stopped" if "stop" in keys else "blocked"
        way = start - guard.command
        step = config.start_rad_s * period_s / max(float(np.abs(way).max()), 1e-9)
        reading = setup.robot.observe()
        hold = "old joints" if time.monotonic() - reading.time_s > config.stale_s else ""
        target = guard.command + min(1.0, step) * way
        setup.robot.command(guard.step(target, reading.joints, hold).command)
        time.sleep(period_s)
    return "there"


def stop(setup: Setup, guard: Guard) -> None:
    """Brake within the limits, and hold."""
    robot = setup.robot
    for _ in range(guard.steps_to_rest):
        before = guard.command
        command = guard.step(before, before, "stop").command
        if not setup.config.dry_run:
            robot.command(command)
        if np.array_equal(command, before):
            break
        time.sleep(setup.period_s)
    robot.hold()
