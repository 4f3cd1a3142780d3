"""An episode that a policy plays in the simulator, with what the expert would do where it asks."""

from handover_client.connection import PolicyClient
from handover_client.control import ChunkPlayer, RobotObservation, ServerChunks
from handover_envs.experts import POLICY_RATE_HZ, Expert
from handover_envs.simulator import (
    CONTROL_RATE_HZ,
    DEMONSTRATION_STEPS,
    AlohaSimulator,
    TaskName,
    find_task,
)

from handover_training.aloha_mini.data.plan_follower import PlanFollower
from handover_training.aloha_mini.data.snapshot_file import (
    FRAME_SIDE,
    NO_CHUNK,
    TASK_ORDER,
    SnapshotWriter,
)


class CorrectionCollector:
    """Plays episodes of both tasks with one policy."""

    def __init__(self, client: PolicyClient, execute_steps: int) -> None:
        """execute_steps: how many steps of each chunk are played; an even number."""
        self._client, self._spec = client, client.get_info().spec
        self._execute_steps = execute_steps
        self._every = round(execute_steps * CONTROL_RATE_HZ / POLICY_RATE_HZ)
        self._experts = {task: Expert(task) for task in TASK_ORDER}
        self._simulators = {task: AlohaSimulator(task, "plain") for task in TASK_ORDER}

    @staticmethod
    def task_of(seed: int) -> TaskName:
        """Even seeds are transfers, odd ones insertions, as with snapshots."""
        return TASK_ORDER[seed % len(TASK_ORDER)]

    def play(self, seed: int) -> SnapshotWriter:
        """Play an episode; raises PolicyError."""
        task = self.task_of(seed)
        simulator = self._simulators[task]
        follower = PlanFollower(self._experts[task].plan(seed), simulator)
        source = ServerChunks(self._client, self._spec, find_task(task).text, 0, seed)
        player = ChunkPlayer(simulator.reset(seed), POLICY_RATE_HZ, CONTROL_RATE_HZ)
        shots = SnapshotWriter()
        for step in range(DEMONSTRATION_STEPS):
            if step % self._every == 0:
                frame, state = simulator.render(FRAME_SIDE), simulator.state
                lesson = follower.chunk(state, simulator.object_poses)
                shots.keep(frame, simulator, NO_CHUNK if lesson is None else lesson)
                sight = RobotObservation(step // self._every * self._execute_steps, state, frame)
                player.add(source.ask(sight).targets, observed_at=step, now=step)
            simulator.step(player.target_at(step))
        return shots
