"""Outcome of one rollout episode: its score step by step, and its line of episodes.jsonl."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from handover_envs.tasks import SUCCESS_REWARD

from handover_client.control.retries import Outage

Ending = Literal["done", "max_steps", "server_lost", "simulation_failed", "no_plan"]
STRICT_STEPS = 10  # control steps in a row that the object is held for a strict success


@dataclass
class EpisodeScore:
    """Rewards of an episode, counted step by step.

    first_steps: {reward 1 … 4: control steps played until it, or more, was first reached}
    """

    first_steps: dict[int, int] = field(default_factory=dict)
    steps: int = 0
    strict_success: bool = False
    _held_steps: int = 0

    def add(self, reward: int, is_held: bool) -> None:
        """Count one control step: its reward, and whether the object is held for good after it."""
        self.steps += 1
        for reached in range(1, reward + 1):
            self.first_steps.setdefault(reached, self.steps)
        self._held_steps = self._held_steps + 1 if is_held else 0
        self.strict_success = self.strict_success or self._held_steps >= STRICT_STEPS

    @property
    def success(self) -> bool:
        """gym-aloha's success: reward 4 in any control step."""
        return SUCCESS_REWARD in self.first_steps

    @property
    def max_reward(self) -> int:
        """The highest reward of any control step."""
        return max(self.first_steps, default=0)

    def outcome(self) -> dict[str, Any]:
        """The score's part of an EpisodeRecord."""
        return {
            "success": self.success,
            "strict_success": self.strict_success,
            "max_reward": self.max_reward,
            "steps": self.steps,
            "first_steps": self.first_steps,
        }


@dataclass(frozen=True)
class EpisodeRecord:
    """One episode's outcome; steps are control steps, a step's time is steps · 0.02 s at 50 Hz."""

    episode: int
    seed: int
    ended: Ending
    success: bool  # gym-aloha's: reward 4 in one control step
    strict_success: bool  # held off the table for 10 control steps in a row
    max_reward: int
    steps: int
    first_steps: dict[int, int]  # {reward: control steps until it was reached}
    start_poses: list[list[float]]  # of the objects: x, y, z in m, quaternion w, x, y, z
    jerk_rms: float | None  # rad/s³, arms
    latency_ms: list[float]  # of every answer, as the robot waited for it
    stage_ms: dict[str, list[float]]  # of every answer, as the server reports it
    borders: list[int] = field(default_factory=list)  # control steps at which chunks took over
    border_jerk_rms: float | None = None  # rad/s³, arms, across the borders
    border_acceleration: float | None = None  # rad/s², arms, mean over the borders
    within_jerk_rms: float | None = None  # rad/s³, arms, within chunks
    within_acceleration: float | None = None  # rad/s², arms, mean within chunks
    prefix_methods: dict[str, int] = field(default_factory=dict)  # {"guided", "learned": chunks}
    delays: list[list[int]] = field(default_factory=list)  # [expected, came], policy steps
    dropped_steps: int = 0  # chunk steps that had passed when their chunk came
    dry_steps: int = 0  # control steps for which the chunk was over and its last target was held
    dry_spells: list[int] = field(default_factory=list)  # the control steps at which they began
    late_steps: int = 0  # real time: control steps that began more than one period late
    outages: list[Outage] = field(default_factory=list)
    wall_s: float = 0.0
    cpu_s: float = 0.0  # of the process that played it, its graphics driver too
    error: str = ""
    video: str = ""  # path inside the run's folder

    @property
    def lost_server(self) -> bool:
        """Whether it ended for want of a server: then it says nothing of the policy."""
        return self.ended == "server_lost"

    def to_line(self) -> str:
        """Write the record as one line of JSON."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False) + "\n"

    @classmethod
    def from_line(cls, line: str) -> "EpisodeRecord":
        """Read such a line. Raises ValueError, KeyError or TypeError for any other."""
        values: dict[str, Any] = json.loads(line)
        values["first_steps"] = {int(key): step for key, step in values["first_steps"].items()}
        values["outages"] = [Outage(**outage) for outage in values["outages"]]
        return cls(**values)
