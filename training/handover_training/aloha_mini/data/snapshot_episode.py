"""One episode's snapshots: the expert acts with disturbed arms, and some moments are drawn."""

from functools import lru_cache

import numpy as np
from handover_envs.experts import EXACT, Expert, Point, Side
from handover_envs.simulator import (
    CONTROL_RATE_HZ,
    DEMONSTRATION_STEPS,
    SUCCESS_REWARD,
    AlohaSimulator,
    LookName,
    TaskName,
    load_world,
)
from handover_proto import ARM_JOINTS

from handover_training.aloha_mini.data.draw import SnapshotsConfig
from handover_training.aloha_mini.data.snapshot_file import (
    CHUNK_TIMES_S,
    NO_CHUNK,
    TASK_ORDER,
    SnapshotWriter,
)

_ARM_QPOS = 16  # MuJoCo's coordinates of both arms come first; the objects' are the last
_REST_Z = {"transfer_cube": (0.02,), "insertion": (0.01, 0.022)}  # m, the parts on the table
_JITTER_M = 0.02  # loose objects lie a little beyond where episodes start
_BEFORE_GRASP = 90  # steps; no expert closes a gripper earlier
_MISS_M, _MOST_M = (0.006, 0.0025, 0.0015), 0.012
_LAST_STEP = 360  # later the hands rest


class PosableSimulator(AlohaSimulator):
    """A simulator whose arms and objects can be put anywhere, without physics."""

    @property
    def arms(self) -> np.ndarray:
        """MuJoCo's coordinates of both arms: (16,) float64."""
        return self._world.physics.data.qpos[:_ARM_QPOS].copy()

    def put(self, arms: np.ndarray, poses: np.ndarray) -> None:
        """Set arms (16,) and objects (objects, 7)."""
        physics = self._world.physics
        physics.data.qpos[:_ARM_QPOS] = arms
        physics.data.qpos[-poses.size :] = poses.ravel()
        physics.forward()


class SnapshotRenderer:
    """Draws episodes' snapshots into files: what a clumsy expert sees, and what a good one does."""

    def __init__(self, config: SnapshotsConfig) -> None:
        self._config = config
        self._world = load_world()

    def draw(self, seed: int) -> bool:
        """Draw one episode; tells whether the disturbed expert succeeded."""
        task = TASK_ORDER[seed % len(TASK_ORDER)]
        rng = np.random.default_rng([seed, 1])
        look: LookName = "fast" if rng.random() < self._config.shadows else "plain"
        simulator, plan = _simulator(task, look), _expert(task).plan(seed)
        executed = _expert(task).plan(seed, misses(rng)).targets.copy()
        executed[:, ARM_JOINTS] += pushes(rng, DEMONSTRATION_STEPS)
        wanted = sorted(rng.choice(_LAST_STEP, self._config.on_the_way, replace=False).tolist())
        shots, arms = SnapshotWriter(), []
        simulator.reset(seed)
        for step, targets in enumerate(executed):
            arms.append(simulator.arms)
            if step in wanted:
                shots.take(simulator, plan.at(step / CONTROL_RATE_HZ + CHUNK_TIMES_S))
            simulator.step(targets)
        succeeded = simulator.reward == SUCCESS_REWARD
        if not succeeded:  # only what it did before its grasp is worth learning
            for place, step in enumerate(wanted):
                if step >= _BEFORE_GRASP:
                    shots.chunks[place] = NO_CHUNK
        for _ in range(self._config.loose):
            simulator.put(arms[rng.integers(len(arms))], self._scatter(task, rng))
            shots.take(simulator, NO_CHUNK)
        shots.write(self._config.output / f"{seed}.npz", task, seed)
        return succeeded

    def _scatter(self, task: TaskName, rng: np.random.Generator) -> np.ndarray:
        """Draw poses of the objects on the table, or as a reset has them: (objects, 7)."""
        poses = self._world.start_poses(task, int(rng.integers(2**31)))
        poses[:, :2] += rng.uniform(-_JITTER_M, _JITTER_M, (len(poses), 2))
        if rng.random() < 0.8:
            poses[:, 2] = _REST_Z[task]
        return poses


def misses(rng: np.random.Generator) -> dict[Side, Point]:
    """Draw how far beside its aim each hand grasps; in a quarter of the episodes it does not.

    So the learner sees objects that are held askew, as its own grasps will hold them.
    """
    if rng.random() < 0.25:
        return dict(EXACT)
    (lx, ly, lz), (rx, ry, rz) = rng.normal(0, _MISS_M, (2, 3)).clip(-_MOST_M, _MOST_M).tolist()
    return {"left": (lx, ly, lz), "right": (rx, ry, rz)}


def pushes(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Draw how far the arms are pushed off their way: (steps, 12) float64, rad.

    A third of the episodes is left in peace; in others each arm gets one or two smooth bumps.
    """
    disturbed = np.zeros((steps, 12))
    if rng.random() < 0.3:
        return disturbed
    time_s = np.arange(steps) / CONTROL_RATE_HZ
    for arm in (slice(0, 6), slice(6, 12)):
        for _ in range(rng.integers(1, 3)):
            middle_s, width_s = rng.uniform(0, 6.5), rng.uniform(0.25, 0.7)
            bump = np.exp(-0.5 * ((time_s - middle_s) / width_s) ** 2)
            disturbed[:, arm] += bump[:, None] * rng.normal(0, 0.018, 6)
    return disturbed


@lru_cache(maxsize=2)
def _expert(task: TaskName) -> Expert:
    return Expert(task)


@lru_cache(maxsize=4)
def _simulator(task: TaskName, look: LookName) -> PosableSimulator:
    return PosableSimulator(task, look)
