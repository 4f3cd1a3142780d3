"""What `handover rollout` is told, and whether it makes sense."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from handover_common import UsageError

from handover_client.connection.flags import NO_SECURITY, SecurityOptions
from handover_client.connection.timeout_flags import check_timeouts

# typing.Optional: tyro checks such a default without importing typeguard, which would take a third
# of the time of --help
# ruff: noqa: UP045


@dataclass(frozen=True)
class RolloutConfig:
    """Judge a policy closed loop: its chunks played in MuJoCo, episode by episode."""

    output: Path
    """Folder for metrics.json, report.html, episodes.jsonl and videos; must not exist yet. An
    interrupted run goes on when the same command is given again."""
    server: str = ""
    """Address of the policy server, HOST:PORT; needed for --policy server."""
    task: Literal["transfer_cube", "insertion"] = "transfer_cube"
    """What the robot is to do."""
    policy: Literal["server", "scripted"] = "server"
    """server: what --server serves; scripted: the expert, as the upper bound and a check of the
    loop."""
    episodes: int = 50
    """How many episodes to play."""
    seed: int = 1000
    """Episode i starts from seed + i: where the objects lie, and the policy's noise."""
    seeds_from: Optional[Path] = None
    """A `handover record` folder: each episode starts from its seed there, not from --seed."""
    execute_steps: int = 8
    """Steps of each chunk to play before the policy is asked again, at the policy's rate."""
    interpolation: Literal["linear", "hold"] = "linear"
    """Of the arms' targets between the policy's steps; grippers always hold."""
    max_steps: int = 400
    """Control steps (20 ms) of an episode at the most; demonstrations take 400."""
    policy_rate_hz: float = 20.0
    """Steps a second of a chunk, for a server that does not tell."""
    realtime: bool = False
    """Let the simulation go on while the policy thinks; else it waits, and results repeat."""
    clock: Literal["wall", "simulated"] = "wall"
    """With --realtime. wall: paced by the wall's clock, and latency comes on top of the server's;
    simulated: each chunk takes exactly the latency that is told, whatever the machine does."""
    switching: Literal["naive", "ensemble", "crossfade", "rtc", "rtc_crossfade"] = "naive"
    """From chunk to chunk, with --realtime. naive: the newest; ensemble: the mean of all that cover
    a moment, as in ACT; crossfade: from the old one to the new one while both last; rtc: the policy
    makes each chunk go on from the last one; rtc_crossfade: both."""
    latency_ms: float = 0.0
    """Latency added to each chunk, with --realtime."""
    jitter_ms: float = 0.0
    """The added latency varies evenly by up to so much more or less, with --realtime."""
    workers: Optional[int] = None
    """Simulators at once, a process each; one per core by default."""
    cluster: Optional[str] = None
    """Ray cluster to run the simulators on: auto, or ray://HOST:PORT."""
    image_size: int = 256
    """Height and width of the frames that are sent, in pixels."""
    image_codec: Literal["raw", "jpeg", "png"] = "raw"
    """How frames are sent; jpeg loses a little, png nothing."""
    videos: Literal["all", "failures", "none"] = "failures"
    """Of which episodes to keep an H.264 video; failures: of one success too, to compare."""
    video_rate_hz: Literal[5, 10, 25, 50] = 10
    """Frames a second of the videos; each is drawn after its episode."""
    rerun: Optional[Path] = None
    """Also save a recording (.rrd) for the viewer of rerun.io to this file (extra viz)."""
    connect_timeout_s: float = 60.0
    """How long to wait for the server to be ready at the start."""
    call_timeout_s: float = 10.0
    """How long to wait for a chunk before asking again."""
    reconnect_s: float = 30.0
    """How long an episode goes on without an answer, asking again and again."""
    security: SecurityOptions = NO_SECURITY
    """How the connection is protected."""


def check_usage(config: RolloutConfig) -> None:
    """Raise UsageError for flags that make no sense by themselves or together."""
    if config.policy == "server" and not config.server:
        raise UsageError("--server HOST:PORT is missing (or say --policy scripted)")
    if config.policy == "scripted" and (config.server or config.realtime):
        raise UsageError("--policy scripted takes no --server and knows no --realtime")
    for flag in ("episodes", "execute_steps", "max_steps", "workers"):
        value = getattr(config, flag)
        if value is not None and value < 1:
            raise UsageError(f"{_flag(flag)} is {value}, expected 1 or more")
    if not 16 <= config.image_size <= 480:
        raise UsageError(f"--image-size is {config.image_size}, expected 16 to 480 pixels")
    for flag in ("latency_ms", "jitter_ms"):
        value = getattr(config, flag)
        if not 0 <= value <= 10_000:
            raise UsageError(f"{_flag(flag)} is {value:g}, expected 0 to 10000")
        if value and not config.realtime:
            raise UsageError(f"{_flag(flag)} needs --realtime: in lockstep the robot waits anyway")
    for flag, default in (("clock", "wall"), ("switching", "naive")):
        if getattr(config, flag) != default and not config.realtime:
            raise UsageError(f"{_flag(flag)} {getattr(config, flag)} needs --realtime")
    if not 0.1 <= config.policy_rate_hz <= 1000:
        raise UsageError(f"--policy-rate-hz is {config.policy_rate_hz:g}, expected 0.1 to 1000")
    check_timeouts(config, "connect_timeout_s", "call_timeout_s", "reconnect_s")
    if not 0 <= config.seed < 2**32 - config.episodes:
        raise UsageError(f"--seed is {config.seed}, expected 0 to 2^32 - 1 - episodes")


def _flag(field: str) -> str:
    return "--" + field.replace("_", "-")
