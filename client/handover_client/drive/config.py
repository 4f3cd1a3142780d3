"""Configuration of `handover drive`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Optional, Union

import tyro
from handover_common import UsageError, check_range

from handover_client.connection.flags import NO_SECURITY, SecurityOptions, check_timeouts

# ruff: noqa: UP007, UP045, RUF036, as tyro reads types: see handover_common.command
_Cameras = Annotated[Union[None, tuple[str, ...]], tyro.conf.arg(metavar="NAME=ROBOTCAMERA …")]
_Groups = Annotated[Union[None, tuple[str, ...]], tyro.conf.arg(metavar="NAME=FIRST:END …")]


@dataclass(frozen=True)
class DriveConfig:
    """Drive a robot in real time by a served policy: guarded, by an operator, recorded."""

    output: Path
    """Folder to create: a LeRobot dataset of the episodes, and their report. An interrupted
    session goes on where it stopped."""
    task: str
    """The instruction, word for word as in the recordings."""
    robot: str = "sim"
    """Robot: sim, trossen, lerobot, the name of an installed one, or module:Class."""
    robot_config: Optional[Path] = None
    """File with the robot's settings: JSON, or YAML where its name ends with .yaml."""
    server: str = "127.0.0.1:50051"
    """Address of the policy server: HOST:PORT, openpi://HOST:PORT or groot://HOST:PORT."""
    spec: Optional[Path] = None
    """JSON file with what openpi's or Isaac-GR00T's protocol does not tell of a policy."""
    camera: _Cameras = None
    """Which of the robot's cameras each of the policy's is, where the names differ; or for trossen
    where its pictures come from: a device, a file or an address, with a slash."""
    group: _Groups = None
    """Which of the robot's joints each group of the policy has, where its name does not say it."""
    operator: Literal["keys", "auto"] = "keys"
    """keys: a person at this terminal; auto: on a simulated robot, its own judge."""
    episodes: Optional[int] = None
    """Episodes after which the session ends; by default the operator ends it."""
    max_seconds: float = 60.0
    """Longest episode, in seconds."""
    take_over_s: Optional[float] = None
    """With --operator auto: the scripted expert takes over so many seconds into each episode."""
    dry_run: bool = False
    """Send nothing to the robot, record no dataset, and show what would have been sent: in the
    terminal now and then, with --rerun every step."""
    speed: float = 1.0
    """Play the policy's chunks at this share of their speed, such as 0.1 for a first try."""
    give_up_s: float = 10.0
    """Seconds without a chunk after which the episode is ended."""
    stale_s: float = 0.25
    """Oldest joints to act on, in seconds; with older ones the robot holds."""
    frozen_s: float = 1.0
    """Oldest frame of a camera to act on, in seconds; with an older one the robot holds."""
    start_rad_s: float = 0.5
    """Speed at which the joints are moved to the start pose, rad/s."""
    execute_steps: int = 8
    """Steps of each chunk to play, at the policy's rate, before asking for the next."""
    policy_rate_hz: float = 0.0
    """Chunk steps per second, for a server that does not state its rate."""
    robot_units: bool = False
    """The policy's joints are in the robot's units, for a server that does not state them."""
    image_size: int = 256
    """Height and width of the frames for a policy that does not name their size, in pixels."""
    image_codec: Optional[Literal["raw", "jpeg", "png"]] = None
    """Encoding of the frames sent to the server; jpeg is lossy, png lossless. By default jpeg, and
    raw for openpi:// and groot://, which have no other."""
    rerun: Optional[str] = None
    """Show cameras, joints, targets and guard live (extra viz): viewer opens the rerun.io viewer,
    HOST:PORT is one that runs, FILE.rrd is written as it goes."""
    connect_timeout_s: float = 60.0
    """Seconds to wait until the server is ready."""
    call_timeout_s: float = 5.0
    """Seconds that the server may take for one chunk."""
    security: SecurityOptions = NO_SECURITY


def check(config: DriveConfig) -> None:
    """Refuse settings that make no sense. Raises UsageError."""
    if not config.task.strip():
        raise UsageError("--task is empty: expected the instruction, as in the recordings")
    check_range(config, "speed", least=0.01, most=1.0)
    check_range(config, "execute_steps", "episodes", least=1)
    check_range(config, "image_size", least=16, most=2048)
    check_range(config, "start_rad_s", least=0.01, most=3.0)
    check_range(config, "policy_rate_hz", least=0.0, most=1000.0)
    check_timeouts(
        config,
        *("max_seconds", "give_up_s", "stale_s", "frozen_s"),
        *("connect_timeout_s", "call_timeout_s"),
    )
    if config.take_over_s is not None and config.operator != "auto":
        raise UsageError("--take-over-s is for --operator auto; at a keyboard press t")
    if config.operator == "auto" and config.episodes is None:
        raise UsageError("--operator auto needs --episodes: nobody is there to end the session")
