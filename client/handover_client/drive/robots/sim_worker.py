"""Processes of the simulated robot: physics at 50 Hz of wall time, and a camera that draws it.

They go on whether or not commands come, as a robot does, and end with the process that made them.
Numbers are exchanged in shared memory, each block under its own lock; rare requests by a pipe.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from threading import Thread
from typing import Any

import numpy as np
from handover_common import HandoverError

_MOST_BEHIND = 5  # control steps that are made up for; more are left out, and the joints are old
_HEIGHT_WIDTH = (480, 640)


@dataclass(frozen=True)
class SimSettings:
    """Settings of --robot sim in --robot-config, as JSON."""

    task: str = "transfer_cube"
    seed: int = 0  # of the first episode; each next one's is one more
    cameras: Sequence[str] = ("top",)  # of gym-aloha's
    look: str = "fast"  # a software renderer draws the default one as slowly as no camera does
    camera_rate_hz: float = 25.0  # at most: drawing takes what it takes


class Block:
    """An array in shared memory, with the time at which it was written."""

    def __init__(
        self, context: BaseContext, shape: tuple[int, ...], dtype: Any = np.float64
    ) -> None:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self._memory, self._time_s = context.RawArray("c", size), context.RawValue("d", 0.0)
        self._lock, self._shape, self._dtype = context.Lock(), shape, dtype

    def write(self, values: np.ndarray, time_s: float | None = None) -> None:
        """Replace the array; its time is now, unless it is of another one."""
        with self._lock:
            self._array()[...] = values
            self._time_s.value = time.monotonic() if time_s is None else time_s

    def read(self) -> tuple[np.ndarray, float]:
        """Return a copy, and when it was written (time.monotonic, s); 0 s: never."""
        with self._lock:
            return self._array().copy(), self._time_s.value

    def _array(self) -> np.ndarray:
        return np.frombuffer(self._memory, self._dtype).reshape(self._shape)


@dataclass(frozen=True)
class Shared:
    """What the processes share: joints and command (14,), the world's positions, the pictures."""

    joints: Block
    command: Block
    qpos: Block
    done: Block  # (1,): 1 where the task is done for good
    pictures: dict[str, Block]

    @classmethod
    def make(cls, context: BaseContext, qpos_size: int, cameras: Sequence[str]) -> "Shared":
        """Allocate the memory."""
        pictures = {name: Block(context, (*_HEIGHT_WIDTH, 3), np.uint8) for name in cameras}
        joints, command, qpos, done = (Block(context, (n,)) for n in (14, 14, qpos_size, 1))
        return cls(joints, command, qpos, done, pictures)


def run_physics(settings: SimSettings, shared: Shared, requests: Connection, parent: int) -> None:
    """Step the simulator at 50 Hz of wall time, and answer requests between steps."""
    from handover_envs import AlohaSimulator
    from handover_envs.tasks import CONTROL_RATE_HZ

    simulator = AlohaSimulator(settings.task)
    answer = _answers(simulator, settings, shared)
    answer("set_up", 0, requests.send)
    start_s, step = time.monotonic(), 0
    while os.getppid() == parent:
        wait_s = start_s + step / CONTROL_RATE_HZ - time.monotonic()
        if wait_s < -_MOST_BEHIND / CONTROL_RATE_HZ:
            start_s, step, wait_s = time.monotonic(), 0, 0.0
        if requests.poll(max(0.0, wait_s)):
            name, argument = requests.recv()
            answer(name, argument, requests.send)
            continue
        simulator.step(shared.command.read()[0])
        shared.joints.write(simulator.state)
        shared.qpos.write(simulator.qpos)
        shared.done.write(np.array([float(simulator.is_held)]))
        step += 1


def _answers(simulator: Any, settings: SimSettings, shared: Shared) -> Any:
    """Return what answers a request: (name, argument, send). One is made at a time."""
    from handover_envs.experts import Expert

    expert = Expert(settings.task)

    def set_up(episode: int) -> None:
        state = simulator.reset(settings.seed + episode)
        for block, values in (
            (shared.command, state),
            (shared.joints, state),
            (shared.qpos, simulator.qpos),
            (shared.done, np.zeros(1)),
        ):
            block.write(values)

    def answer(name: str, argument: Any, send: Any) -> None:
        if name == "set_up":
            set_up(argument)
            send(None)
        else:  # take_over: a plan takes a second, and physics goes on meanwhile
            now = settings.seed, argument, simulator.object_poses, simulator.contacts()
            Thread(target=lambda: send(_plan(expert, *now)), daemon=True).start()

    return answer


def _plan(expert: Any, *situation: Any) -> np.ndarray | str:
    """The expert's targets from a situation on, (L, 14); or why there are none."""
    try:
        return expert.recover(*situation).targets
    except HandoverError as error:
        return str(error)


def run_cameras(settings: SimSettings, shared: Shared, parent: int) -> None:
    """Draw the world as it is, camera by camera, as often as is asked for and possible."""
    from handover_envs import AlohaSimulator

    simulator = AlohaSimulator(settings.task, settings.look)  # pyright: ignore[reportArgumentType]
    simulator.reset(settings.seed)
    while os.getppid() == parent:
        began_s = time.monotonic()
        for name, picture in shared.pictures.items():
            qpos, written_s = shared.qpos.read()
            if written_s:
                simulator.show(qpos)
                picture.write(simulator.render(camera=name), written_s)  # of what it shows
        time.sleep(max(0.0, began_s + 1 / settings.camera_rate_hz - time.monotonic()))


def limits_and_size(task: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the joints' limits, (14,) low and high in rad (grippers 0 … 1), and qpos' size."""
    from handover_envs import AlohaSimulator

    with AlohaSimulator(task) as simulator:
        low, high = simulator.joint_limits
        return low, high, len(simulator.qpos)
