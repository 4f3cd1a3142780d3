"""Configuration of `handover record`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from handover_client.connection import NO_SECURITY, SecurityOptions
from handover_client.rollout import parse_cameras
from handover_common import UsageError, check_range

from handover_envs.simulator.rendering import LookName
from handover_envs.tasks.names import TaskName

# ruff: noqa: UP045  # Optional: see handover_common/command.py


@dataclass(frozen=True)
class RecordConfig:
    """Record scripted demonstrations of a task as a LeRobot dataset (v2.1)."""

    task: TaskName
    """Task to demonstrate."""
    output: Path
    """Folder to create. An interrupted run resumes where it stopped."""
    episodes: int = 50
    """Number of episodes; each ends in success."""
    seed: int = 0
    """Seed of the first episode; the next ones have the next seeds, without those that fail."""
    fps: int = 50
    """Rows and frames per second, at most 50. With the policy's own (20) and --image-size nothing
    is recorded that conversion would drop: two fifths of the frames are drawn."""
    image_size: Optional[int] = None
    """Height and width of the frames, in pixels, cropped and resized as conversion does; by default
    they are 480×640 as gym-aloha's."""
    camera: tuple[str, ...] = ()
    """NAME=SIMCAMERA …: film the simulator's cameras as observation.images.NAME. By default top=top
    alone is filmed."""
    disturb: bool = False
    """Lead the robot astray as a learner would: grasps beside their aim and pushes of the arms,
    drawn for each seed. `action` is what the expert meant, not what the robot played (DART)."""
    vary: tuple[str, ...] = ()
    """AXIS or AXIS:LARGEST …: change what the world looks like from episode to episode, along axes
    of rollout's --suite robustness (light, camera, colours, distractors): each in half of the
    episodes, at a strength of 1 to LARGEST (2)."""
    server: str = ""
    """Policy server, as rollout's, that drives until the expert takes over; needs --takeover."""
    takeover: bool = False
    """Let the policy behind --server drive; the expert takes over and finishes. The expert's part
    is an episode of the dataset, marked `intervention`."""
    takeover_when: Literal["either", "wrong", "moment"] = "either"
    """wrong: something was dropped, or nothing new was achieved for 3 s; moment: drawn for each
    seed, within the first 5 s; either: what comes first."""
    execute_steps: int = 8
    """With --takeover: steps of each chunk to play before asking for the next."""
    group: tuple[str, ...] = ()
    """With --takeover: NAME=FIRST:END, as for rollout."""
    policy_rate_hz: Optional[float] = None
    """With --takeover: chunk steps per second, as for rollout."""
    spec: Optional[Path] = None
    """With --takeover: what openpi's or Isaac-GR00T's protocol does not tell, as for rollout."""
    security: SecurityOptions = NO_SECURITY
    """How the connection is protected."""
    workers: Optional[int] = None
    """Number of processes; by default one per core."""
    cluster: Optional[str] = None
    """Run on a Ray cluster: auto, or ray://HOST:PORT."""
    codec: Literal["h264", "av1"] = "h264"
    """h264 is fast to encode and to read; av1 is a third smaller and takes six times as long to
    encode."""
    render: LookName = "default"
    """fast draws coarser shadows and edges in a third of the time, plain no shadows in a sixth;
    evaluation always uses default."""

    def cameras(self) -> dict[str, str]:
        """{name in the dataset: the simulator's camera}. Raises UsageError."""
        return parse_cameras(self.camera) or {"top": "top"}


def check(config: RecordConfig) -> None:
    """Refuse settings that make no sense. Raises UsageError."""
    if config.episodes < 1:
        raise UsageError(f"expected at least 1 episode, got {config.episodes} (--episodes)")
    if not 0 <= config.seed < 2**31:
        raise UsageError(f"expected a seed from 0 to 2**31 - 1, got {config.seed} (--seed)")
    check_range(config, "fps", least=1, most=50)
    check_range(config, "image_size", least=16, most=480)
    config.cameras()
    if config.vary:
        from handover_envs.perturbations import parse_vary  # loads numpy: too slow for --help

        parse_vary(config.vary)
    if config.disturb and config.takeover:
        raise UsageError("--disturb is for demonstrations; in a --takeover the policy errs itself")
    if config.takeover != bool(config.server):
        raise UsageError("--server HOST:PORT and --takeover belong together: give both")
    check_range(config, "execute_steps", least=1)
    check_range(config, "policy_rate_hz", least=0.1, most=1000)
    if (config.image_size or 0) % 2:
        raise UsageError(f"--image-size is {config.image_size}, expected an even number for video")
