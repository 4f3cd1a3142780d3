"""Start and stop of a robot: connected, moved to its start slowly, braked, and held at the end.

Whatever ends a session (an error, a signal, the operator), the robot is braked within the guard's
limits and holds.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from handover_common import HandoverError

from handover_client.connection.policy_client import PolicyClient
from handover_client.drive.config import DriveConfig
from handover_client.drive.fit import Fit
from handover_client.drive.guard import Guard
from handover_client.drive.operator import Key, Phase
from handover_client.drive.robots.interface import Robot, RobotDescription

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Setup:
    """What every episode of a session has in common."""

    config: DriveConfig
    robot: Robot
    client: PolicyClient
    fit: Fit
    keys: Callable[[Phase, float], list[Key]]
    status: Callable[[str], None]

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
        if len(seen) > 2:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def go_to_start(setup: Setup, guard: Guard, start: np.ndarray) -> None:
    """Move slowly to the start pose, all joints together. Raises HandoverError where it fails."""
    far = float(np.abs(start - guard.command).max())
    deadline_s = time.monotonic() + 2 * far / setup.config.start_rad_s + 5
    setup.status("moving to the start pose; space stops")
    while float(np.abs(start - guard.command).max()) > 1e-3:
        if "stop" in setup.keys("moving", 0.0) or time.monotonic() > deadline_s:
            stop(setup, guard)
            raise HandoverError(
                "the robot did not reach its start pose: it was stopped, or something is in its "
                "way; clear it, or give another start pose in --robot-config"
            )
        way = start - guard.command
        step = setup.config.start_rad_s * setup.period_s / max(float(np.abs(way).max()), 1e-9)
        reading = setup.robot.observe()
        command = guard.step(guard.command + min(1.0, step) * way, reading.joints).command
        setup.robot.command(command)
        time.sleep(setup.period_s)


def stop(setup: Setup, guard: Guard) -> None:
    """Brake within the limits, and hold; takes at most a second of control steps."""
    robot = setup.robot
    for _ in range(round(1 / setup.period_s)):
        before = guard.command
        command = guard.step(before, before, "stop").command
        if not setup.config.dry_run:
            robot.command(command)
        if np.array_equal(command, before):
            break
        time.sleep(setup.period_s)
    robot.hold()
