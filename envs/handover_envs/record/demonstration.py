"""Worker of a recording: the expert acts one demonstration; a success is filmed and measured."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from handover_envs.experts.disturbances import disturbed_targets
from handover_envs.experts.expert import Expert
from handover_envs.perturbations import VariedSimulator
from handover_envs.record.filming import Film, FilmedEpisode, film
from handover_envs.simulator.rendering import LookName
from handover_envs.simulator.simulator import AlohaSimulator
from handover_envs.tasks.names import TaskName
from handover_envs.tasks.task import SUCCESS_REWARD


@dataclass(frozen=True)
class DemonstrationTask:
    """One demonstration to record."""

    task: TaskName
    seed: int
    film: Film
    disturbed: bool = False


@dataclass(frozen=True)
class Demonstration:
    """A success: what was filmed, the reward after each control step, and how it came about."""

    seed: int
    filmed: FilmedEpisode
    rewards: np.ndarray
    start_poses: np.ndarray
    notes: dict[str, Any] = field(default_factory=dict)  # of an intervention

    def __len__(self) -> int:
        return len(self.filmed.state)

    def summary(self) -> dict[str, Any]:
        """Return this episode's entry in the dataset's record."""
        return {
            "seed": self.seed,
            "first_success_step": int(np.argmax(self.rewards == SUCCESS_REWARD)),
            "start_poses": self.start_poses.tolist(),
            **self.notes,
        }


def demonstrate(task: DemonstrationTask) -> Demonstration | None:
    """Play a seed's trajectory, and film it if its last step is at reward 4; None if it is not.

    Physics takes half a second and rendering many, so the episode is first played unrendered.
    """
    plan = expert(task.task).plan(task.seed)
    played = plan.targets
    if task.disturbed:
        rng = np.random.default_rng([task.seed, 1])
        played = disturbed_targets(expert(task.task), task.seed, rng)
    simulator = simulator_of(task.task, task.film.look, task.film.vary)
    simulator.reset(task.seed)
    rewards = np.array([simulator.step(targets) for targets in played])
    if rewards[-1] != SUCCESS_REWARD:
        return None
    simulator.reset(task.seed)
    filmed = film(simulator, plain_of(task.task, task.film), plan, task.film, played)
    return Demonstration(task.seed, filmed, rewards, simulator.start_poses, notes_of(simulator))


def plain_of(task: TaskName, film: Film) -> AlohaSimulator | None:
    """Return the simulator to compare a film's look with; None where nothing but it differs."""
    return None if film.look == "default" or film.vary else simulator_of(task, "default")


def notes_of(simulator: AlohaSimulator) -> dict[str, Any]:
    """Return what an episode's entry says of a world that varies."""
    return {"vary": simulator.changes} if isinstance(simulator, VariedSimulator) else {}


# A worker plays many episodes: these keep what takes seconds to load. Each reset starts afresh.
@lru_cache(maxsize=1)
def expert(task: TaskName) -> Expert:
    """Keep the expert of the task that this worker plays."""
    return Expert(task)


@lru_cache(maxsize=2)
def simulator_of(task: TaskName, look: LookName, vary: tuple[str, ...] = ()) -> AlohaSimulator:
    """Keep this worker's simulators."""
    return VariedSimulator(task, vary, look) if vary else AlohaSimulator(task, look)
