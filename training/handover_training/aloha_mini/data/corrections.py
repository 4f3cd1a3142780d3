"""Corrections of a policy's own mistakes (DAgger; Ross, Gordon, Bagnell, 2011).

The policy acts in the simulator. At each of its requests the scripted expert's chunk is recorded:
the expert goes on from the moment of its plan that is most like what the robot does. The files are
snapshot files, one per episode, for the head stage.
"""

import numpy as np
from handover_client.connection import PolicyClient
from handover_client.control import RealTimeController, ServerChunks
from handover_envs.experts import Expert, Trajectory
from handover_envs.simulator import AlohaSimulator
from handover_envs.tasks import CONTROL_RATE_HZ, DEMONSTRATION_STEPS, find_task
from handover_proto import ARM_JOINTS, GRIPPER_JOINTS, POLICY_RATE_HZ, ImageCodec

from handover_training.aloha_mini.configs import CorrectionsConfig
from handover_training.aloha_mini.data.snapshots import (
    CHUNK_TIMES_S,
    FRAME_SIDE,
    NO_CHUNK,
    TASK_ORDER,
    SnapshotWriter,
    missing_seeds,
    task_of,
)

_CALL_TIMEOUT_S = 10.0
_READY_TIMEOUT_S = 120.0
_RECONNECT_S = 30.0
_AHEAD = 40  # steps that the robot may have gone ahead along the plan since the last request
_ARMS_OFF_RAD = 0.35  # further off than this (both arms, Euclidean), the plan is no guide
_OBJECTS_OFF_M = 0.012
_GRIPPER_WEIGHT = 0.3  # rad that a whole opening counts for


def collect_corrections(config: CorrectionsConfig) -> None:
    """Play the episodes whose files are missing. Raises HandoverError."""
    with PolicyClient(config.server, ImageCodec.RAW_RGB8, _CALL_TIMEOUT_S) as client:
        client.wait_until_ready(_READY_TIMEOUT_S)
        collector = CorrectionCollector(client, config.execute_steps)
        for seed in missing_seeds(config):
            collector.play(seed).write(config.output, seed)


class CorrectionCollector:
    """Plays episodes of both tasks with one policy."""

    def __init__(self, client: PolicyClient, execute_steps: int) -> None:
        """execute_steps: how many steps of each chunk are played; an even number."""
        self._client, self._spec = client, client.get_info().spec
        self._execute_steps = execute_steps
        self._experts = {task: Expert(task) for task in TASK_ORDER}
        self._simulators = {task: AlohaSimulator(task, "plain") for task in TASK_ORDER}

    def play(self, seed: int) -> SnapshotWriter:
        """Play an episode; raises PolicyError."""
        task = task_of(seed)
        simulator = self._simulators[task]
        follower = PlanFollower(self._experts[task].plan(seed), simulator)
        source = ServerChunks(self._client, self._spec, seed=seed, same_weights=True)
        snapshots = SnapshotWriter()

        def observe() -> tuple[np.ndarray, np.ndarray]:
            frame, state = simulator.render(FRAME_SIDE), simulator.state
            chunk = follower.chunk(state, simulator.object_poses)
            snapshots.keep(frame, simulator, NO_CHUNK if chunk is None else chunk)
            return state, frame

        simulator.reset(seed)
        with RealTimeController(
            source,
            find_task(task).text,
            CONTROL_RATE_HZ,
            "naive",
            execute_steps=self._execute_steps,
            policy_rate_hz=POLICY_RATE_HZ,
            reconnect_s=_RECONNECT_S,
            clock="simulated",
        ) as controller:
            for step in range(DEMONSTRATION_STEPS):
                simulator.step(controller.act(step, observe))
        return snapshots


class PlanFollower:
    """Follows along an expert's plan a robot that something else drives, in the order of time."""

    def __init__(self, plan: Trajectory, simulator: AlohaSimulator) -> None:
        """Play the plan once; the simulator is left at its end."""
        self._plan, self._at = plan, 0
        simulator.reset(plan.seed)
        states, places = [], []
        for targets in plan.targets:
            states.append(simulator.state)
            places.append(simulator.object_poses[:, :3])
            simulator.step(targets)
        self._states, self._places = np.array(states), np.array(places)

    def chunk(self, state: np.ndarray, poses: np.ndarray) -> np.ndarray | None:
        """Return the expert's next targets: (14,), (objects, 7) -> (16, 14) float32.

        None where the robot or the objects are not where any near moment of the plan has them.
        """
        window = slice(self._at, min(self._at + _AHEAD, len(self._states)))
        off = self._states[window] - state
        arms = np.linalg.norm(off[:, ARM_JOINTS], axis=1)
        grippers = np.abs(off[:, GRIPPER_JOINTS]).sum(axis=1)
        nearest = int(np.argmin(arms + _GRIPPER_WEIGHT * grippers))
        objects = np.linalg.norm(self._places[window][nearest] - poses[:, :3], axis=1)
        if arms[nearest] > _ARMS_OFF_RAD or objects.max() > _OBJECTS_OFF_M:
            return None
        self._at += nearest
        return self._plan.at(self._at / CONTROL_RATE_HZ + CHUNK_TIMES_S)
