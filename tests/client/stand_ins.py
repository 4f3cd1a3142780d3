"""A robot and sources of chunks that need neither MuJoCo nor a server."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from handover_client.control import ChunkReply, ChunkRequest
from handover_client.rollout.config import EpisodeSettings, RolloutConfig
from handover_proto.types import CameraSpec, PolicySpec, StageDurations

HORIZON = 16
SEEING = PolicySpec("test", (CameraSpec("top"),), (), (), HORIZON, 20.0, supports_prefix=True)
BLIND = replace(SEEING, cameras=())

SETTINGS = {field.name for field in fields(EpisodeSettings)}


def flat_config(**flags: Any) -> RolloutConfig:
    """A rollout's config from its flags, as the command line has them."""
    settings = EpisodeSettings(**{name: flags[name] for name in SETTINGS & set(flags)})
    rest = {name: value for name, value in flags.items() if name not in SETTINGS}
    return RolloutConfig(**rest, settings=settings)


@dataclass
class PointRobot:
    """Does at once what it is told; its reward counts the goals that its first joint has passed."""

    goals: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0)
    joints: np.ndarray = field(default_factory=lambda: np.zeros(14))
    played: list[np.ndarray] = field(default_factory=list)
    renders: int = 0
    diverges: Callable[[int], bool] = lambda step: False
    is_over: bool = False  # set by whoever has played with it

    def reset(self, seed: int) -> np.ndarray:
        self.joints = np.full(14, seed / 1000)
        self.played = []
        return self.state

    @property
    def state(self) -> np.ndarray:
        return self.joints.copy()

    @property
    def qpos(self) -> np.ndarray:
        return self.joints.copy()

    @property
    def start_poses(self) -> np.ndarray:
        return np.zeros((1, 7))

    @property
    def is_held(self) -> bool:
        return self.joints[0] >= self.goals[-1]

    def step(self, targets: np.ndarray) -> int:
        if self.diverges(len(self.played)):
            from handover_common.errors import HandoverError

            raise HandoverError("the physics diverged")
        self.joints = targets.astype(np.float64)
        self.played.append(targets)
        return sum(self.joints[0] >= goal for goal in self.goals)

    def render(self, size=None, camera: str = "top", qpos: np.ndarray | None = None) -> np.ndarray:
        self.renders += 1
        height, width = (size, size) if isinstance(size, int) else size or (480, 640)
        return np.full((height, width, 3), len(self.played) % 256, np.uint8)


@dataclass
class RampSource:
    """Drives every joint up by `slope` a chunk step; `trouble(call)` may raise or sleep first."""

    slope: float = 0.05
    spec: PolicySpec = SEEING
    trouble: Callable[[int], None] = lambda call: None
    requests: list[ChunkRequest] = field(default_factory=list)

    def ask(self, request: ChunkRequest) -> ChunkReply:
        self.requests.append(request)
        self.trouble(len(self.requests))
        steps = self.slope * (request.sequence + np.arange(HORIZON))
        targets = np.repeat(steps[:, None], 14, axis=1).astype(np.float32)
        return ChunkReply(targets, 5.0, StageDurations(queue_ms=1.0))
