"""Two simulated WidowX AI arms, a policy that moves them, and `handover drive` at a terminal.

What the tests of the robot `trossen` and the benchmark of an hour have in common. The Python that
runs it needs the extra `trossen`, and trossen-arm-sim (which brings a newer MuJoCo than the extra
`sim` has): an environment of its own.
"""

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.pseudo_terminal import PseudoTerminal

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ROLES = ("common", "proto", "model", "conversion", "training", "server", "client", "envs")
HOW_TO_INSTALL = (
    "needs an environment with the vendor's driver and its simulated arms: python -m venv ARMS; "
    'ARMS/bin/pip install -e ".[trossen,dev]" trossen-arm-sim; run the tests with its python'
)
START_RAD, START_GRIPPER_M, OPEN_M = [0.0, 1.0, 0.5, 0.6, 0.0, 0.0], 0.02, 0.04
LOW_RAD, HIGH_RAD = [-1.5, 0.0, 0.0, -1.5, -1.5, -2.0], [1.5, 2.5, 2.3, 1.5, 1.5, 2.0]
VELOCITY_RAD_S, ACCELERATION_RAD_S2 = [1.5] * 3 + [2.0] * 3, [10.0] * 3 + [15.0] * 3
HEIGHT, WIDTH = 120, 160  # of the film that stands in for a camera
_FILM = {"height": HEIGHT, "width": WIDTH, "timeout_s": 60.0}  # on a busy machine
READY = "enter starts an episode"


def missing() -> str:
    """Name the package that this Python lacks; empty where all are there."""
    needed = ("trossen_arm", "trossen_arm_sim", "cv2", "yaml", "pyarrow", "av", "jinja2")
    return next((name for name in needed if importlib.util.find_spec(name) is None), "")


def environment() -> dict[str, str]:
    """Return this process's environment, with the packages of this checkout first."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / role) for role in ROLES)}


def film(path: Path) -> None:
    """Write ten seconds of a pattern that moves, no two pictures alike."""
    import cv2  # pyright: ignore[reportMissingImports]
    import numpy as np

    form = cv2.VideoWriter_fourcc(*"mp4v")  # pyright: ignore[reportAttributeAccessIssue]
    writer = cv2.VideoWriter(str(path), form, 30, (WIDTH, HEIGHT))
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    for number in range(300):
        picture = np.stack([rows + number, columns + 2 * number, rows + columns], axis=-1) % 256
        writer.write(picture.astype(np.uint8))
    writer.release()


def settings(addresses: Sequence[str], camera: str, **more: Any) -> dict[str, Any]:
    """Return settings for --robot-config."""
    left, right = (
        {"address": address, "start_rad": START_RAD, "start_gripper_m": START_GRIPPER_M}
        for address in addresses
    )
    return {
        "left": left,
        "right": right,
        "joint_order": [f"joint_{place}" for place in range(6)],
        "limits": {
            "low_rad": LOW_RAD,
            "high_rad": HIGH_RAD,
            "velocity_rad_s": VELOCITY_RAD_S,
            "acceleration_rad_s2": ACCELERATION_RAD_S2,
            "lead_rad": [0.5] * 6,
        },
        "gripper": {
            "closed_m": 0.0,
            "open_m": OPEN_M,
            "velocity_m_s": 0.2,
            "acceleration_m_s2": 4.0,
            "lead_m": 0.04,
        },
        "cameras": {"cam_high": {"source": camera, **_FILM}},
        **more,
    }


@dataclass
class Arm:
    """A simulated arm's process, its address, and the file of what it was told."""

    process: subprocess.Popen[str]
    address: str
    path: Path

    def ledger(self) -> dict[str, Any]:
        """Read what it was told until some tenths of a second ago."""
        return json.loads(self.path.read_text())

    def end(self) -> dict[str, Any]:
        """End it; returns what it was told."""
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait(60)
        return self.ledger()


@contextmanager
def two_arms(folder: Path) -> Iterator[tuple[Arm, Arm]]:
    """Run two arms until the block is left, on loopback addresses that nobody else has."""
    # the driver's ports are fixed; all of 127.0.0.0/8 is this machine
    network = f"127.{random.randint(10, 250)}.{random.randint(0, 250)}"
    addresses = [f"{network}.1", f"{network}.2"]
    limits = [*zip(LOW_RAD, HIGH_RAD, strict=True), (0.0, OPEN_M)]
    arms = []
    with ExitStack() as stack:
        for number, address in enumerate(addresses, 1):
            path = folder / f"arm{number}.json"
            command = [sys.executable, HERE / "arm_simulator.py", address, path]
            process = stack.enter_context(
                subprocess.Popen(
                    [*map(str, command), "--limits", json.dumps(limits)],
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            arms.append(Arm(process, address, path))
        for arm in arms:
            assert arm.process.stdout is not None
            if not arm.process.stdout.readline():
                raise RuntimeError(f"the simulated arm on {arm.address} did not start")
        yield arms[0], arms[1]


@contextmanager
def moving_policy(mode: Path, centre: Sequence[float] | None, port: int = 0) -> Iterator[Any]:
    """Serve the policy that does what a file says; gives its process and address."""
    around = ["--centre", *map(str, centre)] if centre is not None else []
    command = [HERE / "moving_policy.py", "--mode", mode, "--port", port, *around]
    with subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.kill()


CENTRE = [*START_RAD, START_GRIPPER_M / OPEN_M] * 2


def drive(server: str, config: Path, output: Path, *more: object) -> PseudoTerminal:
    """Start `handover drive` on the arms at a terminal."""
    words: list[object] = ["drive", "--robot", "trossen", "--robot-config", config]
    words += ["--server", server, "--camera", "ego_view=cam_high", "--task", "Swing."]
    words += ["--output", output, *more]
    return PseudoTerminal(
        [sys.executable, "-m", "handover_client.cli", *map(str, words)], environment()
    )


def start_episode(terminal: PseudoTerminal, within_s: float, after: int = 0) -> int:
    """Wait until the arms are at their start, and press enter; returns the screen's place."""
    after = terminal.wait_for(READY, within_s, after)
    terminal.press("\n")
    return after


def late_ms(driven: Path) -> list[list[float]]:
    """Read how late every recorded control step was: for each episode, a value for each row."""
    import pyarrow.parquet as pq

    return [
        pq.read_table(path, columns=["late_ms"]).to_pydict()["late_ms"]
        for path in sorted(driven.glob("data/*/*.parquet"))
    ]


def wait_until(happened: Any, within_s: float, what: str) -> None:
    """Wait until a function says so. Raises AssertionError."""
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not within {within_s:g} s"
        time.sleep(0.05)


def outside(ledgers: Sequence[Mapping[str, Any]]) -> int:
    """Count the commands that reached the arms outside the limits, or as no numbers."""
    return sum(ledger["outside"] + ledger["not_finite"] for ledger in ledgers)
