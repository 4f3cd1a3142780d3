"""Trossen's simulated arm controller (PyPI `trossen-arm-sim`), with a ledger of what it is told.

    python benchmarks/robots/arm_simulator.py 127.0.0.1 LEDGER.json
    python -m pip install trossen-arm trossen-arm-sim      in an environment of its own

The vendor's driver, the wire and the simulation are as they are; a subclass of the simulation alone
counts every command that arrives at the arm: positions in rad and metres, seven to a command.
"""

import argparse
import json
import math
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

EVERY_S = 0.1  # between two rows of the ledger's course, and two writings
LAST_ROWS = 600  # that are kept: an hour's, written ten times a second, took the arm's own time


class Ledger:
    """What an arm was told since its start."""

    def __init__(self, limits: Sequence[tuple[float, float]]) -> None:
        self._limits = [(low - 1e-6, high + 1e-6) for low, high in limits]
        self.commands = self.outside = self.not_finite = 0
        self.low, self.high = [math.inf] * 7, [-math.inf] * 7
        # time.monotonic, then seven positions
        self.course: deque[list[float]] = deque(maxlen=LAST_ROWS)
        self.last: list[float] = []
        self._next_s = 0.0

    def add(self, positions: Sequence[float]) -> None:
        """Count a command in position mode."""
        self.commands += 1
        if not all(map(math.isfinite, positions)):
            self.not_finite += 1
            return
        pairs = zip(positions, self._limits, strict=True)
        self.outside += any(not low <= value <= high for value, (low, high) in pairs)
        self.last = list(positions)
        self.low = list(map(min, self.low, positions))
        self.high = list(map(max, self.high, positions))
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + EVERY_S
            self.course.append([now_s, *positions])

    def write(self, path: Path, measured: Sequence[float]) -> None:
        """Write it whole or not at all; measured: where the joints are now."""
        values = {key: value for key, value in vars(self).items() if not key.startswith("_")}
        values["course"] = list(self.course)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({**values, "measured": list(measured)}))
        partial.replace(path)


def main(address: str, path: Path, limits: Sequence[tuple[float, float]] | None) -> None:
    """Simulate an arm until SIGTERM."""
    from trossen_arm_sim.protocol import Mode
    from trossen_arm_sim.server import TrossenArmSimServer
    from trossen_arm_sim.sim import WidowXSim

    class ArmWithLedger(WidowXSim):
        ledger: Ledger

        def apply_joint_commands(self, modes: list[Any], positions: list[float]) -> None:
            if all(mode == Mode.POSITION for mode in modes):
                self.ledger.add(positions)
            super().apply_joint_commands(modes, positions)

        def measured(self) -> list[float]:
            return [output.position for output in self.read_joint_outputs()]

    arm = ArmWithLedger()
    arm.ledger = Ledger(limits or arm.joint_limits)
    arm.start()
    server = TrossenArmSimServer(arm, host=address)
    server.start()
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    print(f"arm on {address}", flush=True)
    parent = os.getppid()
    while not over.wait(EVERY_S) and os.getppid() == parent:
        arm.ledger.write(path, arm.measured())
    arm.ledger.write(path, arm.measured())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("ledger", type=Path)
    parser.add_argument("--limits", type=json.loads, help="[[low, high], …], rad and metres")
    told = parser.parse_args()
    main(told.address, told.ledger, told.limits)
