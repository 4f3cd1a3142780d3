"""Flags of `handover rollout`, and their check."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Optional

import tyro
from handover_common import UsageError, check_range
from handover_envs.tasks import TaskName

from handover_client.connection.flags import NO_SECURITY, SecurityOptions, check_timeouts
from handover_client.results.stopping import Question

# ruff: noqa: UP045, Optional for tyro's sake: see handover_common.command


# as control.blending has them, which needs numpy: too slow for --help
Switching = Literal["naive", "ensemble", "crossfade", "rtc", "rtc_guided", "rtc_crossfade"]


@dataclass(frozen=True)
class EpisodeSettings:
    """What decides how an episode comes out."""

    task: TaskName = "transfer_cube"
    """Task for the robot."""
    policy: Literal["server", "scripted"] = "server"
    """server: the policy behind --server; scripted: the expert, as an upper bound and a check of
    the loop."""
    execute_steps: int = 8
    """Steps of each chunk to play, at the policy's rate, before asking for the next."""
    interpolation: Literal["linear", "hold"] = "linear"
    """Of the arms' targets between the policy's steps; grippers always hold."""
    max_steps: int = 400
    """Maximum control steps (20 ms each) per episode; demonstrations take 400."""
    policy_rate_hz: Optional[float] = None
    """Chunk steps per second, for a server that does not report its rate; without either nothing is
    played."""
    realtime: bool = False
    """Let the simulation go on while the policy thinks; otherwise it waits, and results repeat."""
    clock: Literal["wall", "simulated"] = "wall"
    """With --realtime. wall: paced by the wall clock, with --latency-ms added to the server's
    latency; simulated: every chunk takes exactly --latency-ms, whatever the machine does."""
    switching: Switching = "naive"
    """How chunks are blended, with --realtime. naive: newest chunk only; ensemble: mean of all
    chunks that cover a moment, as in ACT; crossfade: from the old chunk to the new one within
    0.2 s; rtc: real-time chunking, the policy continues the last chunk, as it has learnt or else
    guided; rtc_guided: guided even where it has learnt; rtc_crossfade: rtc and crossfade."""
    latency_ms: float = 0.0
    """Latency added to each chunk, with --realtime."""
    jitter_ms: float = 0.0
    """Uniform random variation of the added latency, plus or minus, with --realtime."""
    frame_age_ms: float = 0.0
    """How old the frames are when the policy gets them, to the nearest control step: the latency of
    real cameras. Joints and chunk are then of the frames' time, as in handover drive."""
    frame_times: bool = True
    """Whether it is known when the frames were taken; without, old frames go with joints of now."""
    delay_error_steps: int = 0
    """With rtc: steps of the policy by which the expected delay is wrong, to see what that does."""
    camera: tuple[str, ...] = ()
    """NAME=SIMCAMERA …: cameras of the policy, and the simulator's camera that stands for each. A
    policy's only camera is the top one unless told; real ALOHAs' cam_high, cam_left_wrist and
    cam_right_wrist are known."""
    group: tuple[str, ...] = ()
    """NAME=FIRST:END …: which of the 14 joints a group of the policy holds, where its name does not
    say it, as in modality.json."""
    change: str = ""
    """AXIS:STRENGTH: play in a world changed along an axis of --suite robustness, such as light:2;
    strengths are 1, 2 and 3."""
    image_size: Optional[int] = None
    """Height and width of the frames sent to the server, in pixels; by default the size that the
    policy names for each camera, else 256."""
    image_codec: Literal["raw", "jpeg", "png"] = "raw"
    """Encoding of the frames; jpeg is lossy, png lossless."""
    videos: Literal["all", "failures", "none"] = "failures"
    """Episodes to keep an H.264 video of; failures: and of one success, to compare with."""
    video_rate_hz: Literal[5, 10, 25, 50] = 10
    """Frames per second of the videos; each is drawn after its episode."""


@dataclass(frozen=True)
class RolloutConfig:
    """Evaluate a policy closed loop: play its chunks in MuJoCo, episode by episode."""

    output: Path
    """Folder for metrics.json, report.html, episodes.jsonl and videos; must not exist yet. The same
    command resumes an interrupted run."""
    server: str = ""
    """Address of the policy server: HOST:PORT, openpi://HOST:PORT or groot://HOST:PORT; required
    for --policy server."""
    spec: Optional[Path] = None
    """JSON file with what openpi's or Isaac-GR00T's protocol does not tell of a policy."""
    settings: Annotated[EpisodeSettings, tyro.conf.OmitArgPrefixes] = EpisodeSettings()
    """What decides how an episode comes out."""
    episodes: int = 50
    """Number of episodes."""
    until: Optional[str] = None
    """Stop as soon as a question is answered: "success > 0.9", "strict < 0.8". It is asked after
    every episode and still answered wrongly in at most one of twenty evaluations; after --episodes
    it stays open."""
    seed: int = 1000
    """Episode i starts from seed + i: the objects' start poses, and the policy's noise."""
    suite: Optional[Literal["robustness", "latency"]] = None
    """robustness: play the same seeds as a control and at three strengths of each axis (light,
    camera, colours, distractors, start_pose, instruction, latency); see docs/robustness.md.
    latency: play them at six latencies with every way of switching; see docs/closed_loop.md."""
    axes: tuple[str, ...] = ()
    """With --suite robustness: the axes to play; by default all of them."""
    latencies_ms: tuple[int, ...] = ()
    """With --suite latency: the latencies to play; by default 0, 50, 100, 200, 300 and 400. 0 is
    always played, and each of the others varies by a tenth of it."""
    switchings: tuple[Switching, ...] = ()
    """With --suite latency: the ways of switching; by default all that the policy supports."""
    seeds_from: Optional[Path] = None
    """Folder of `handover record`: take each episode's seed from it instead of --seed."""
    workers: Optional[int] = None
    """Simulators to run in parallel, one process each; one per core by default."""
    cluster: Optional[str] = None
    """Ray cluster to run the simulators on: auto, or ray://HOST:PORT."""
    rerun: Optional[Path] = None
    """Also save a recording (.rrd) for the rerun.io viewer to this file (extra viz)."""
    connect_timeout_s: float = 60.0
    """Maximum wait for the server to be ready at the start."""
    call_timeout_s: float = 10.0
    """Maximum wait for a chunk before asking again."""
    reconnect_s: float = 30.0
    """How long an episode may go without an answer, retrying; then it has lost its server."""
    security: SecurityOptions = NO_SECURITY
    """How the connection is protected."""


def parse_cameras(pairs: Sequence[str]) -> dict[str, str]:
    """Read --camera's NAME=SIMCAMERA. Raises UsageError."""
    return dict(_pair("--camera", pair, "NAME=SIMCAMERA") for pair in pairs)


def parse_groups(pairs: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Read --group's NAME=FIRST:END. Raises UsageError."""
    groups = {}
    for pair in pairs:
        name, span = _pair("--group", pair, "NAME=FIRST:END")
        first, _, end = span.partition(":")
        if not (first.isdigit() and end.isdigit() and int(first) < int(end) <= 14):
            raise UsageError(f"--group {pair}: expected NAME=FIRST:END within 0:14, END not in it")
        groups[name] = int(first), int(end)
    return groups


def _pair(flag: str, pair: str, form: str) -> tuple[str, str]:
    name, _, value = pair.rpartition("=")
    if not (name and value):
        raise UsageError(f"{flag} {pair}: expected {form}")
    return name, value


def told_of(pairs: Sequence[str], names: Collection[str]) -> tuple[str, ...]:
    """Leave those of NAME=VALUE … that are about some names: the others are not this policy's."""
    return tuple(pair for pair in pairs if pair.rpartition("=")[0] in names)


def check(config: RolloutConfig) -> None:
    """Raise UsageError for flags that make no sense by themselves or together."""
    settings = config.settings
    if settings.policy == "server" and not config.server:
        raise UsageError("--server HOST:PORT is missing (or say --policy scripted)")
    if settings.policy == "scripted" and (config.server or settings.realtime):
        raise UsageError("--policy scripted takes neither --server nor --realtime")
    check_range(config, "episodes", "workers", least=1)
    if config.until is not None:
        Question.parse(config.until)
    check_range(settings, "execute_steps", "max_steps", least=1)
    check_range(settings, "image_size", least=16, most=480)
    parse_cameras(settings.camera)
    parse_groups(settings.group)
    if settings.policy == "scripted" and (settings.camera or settings.group):
        raise UsageError("--policy scripted looks at nothing: no --camera, no --group")
    if settings.policy == "scripted" and settings.policy_rate_hz is not None:
        raise UsageError("--policy scripted has a rate of its own: no --policy-rate-hz")
    check_range(settings, "policy_rate_hz", least=0.1, most=1000)
    check_range(settings, "latency_ms", "jitter_ms", least=0, most=10_000)
    check_range(settings, "frame_age_ms", least=0, most=1000)
    if not (settings.frame_times or settings.frame_age_ms):
        raise UsageError("--no-frame-times needs --frame-age-ms: frames of now have a known time")
    check_range(config, "seed", least=0, most=2**32 - 1 - config.episodes)
    if config.axes and config.suite != "robustness":
        raise UsageError("--axes needs --suite robustness; for one world there is --change")
    _check_latency_suite(config)
    if config.suite and (settings.change or config.until is not None or config.rerun):
        raise UsageError("--suite plays whole worlds: it takes no --change, --until or --rerun")
    check_timeouts(config, "connect_timeout_s", "call_timeout_s", "reconnect_s")
    check_range(settings, "delay_error_steps", least=-100, most=100)
    if settings.delay_error_steps and not settings.switching.startswith("rtc"):
        raise UsageError("--delay-error-steps needs --switching rtc: nothing else expects a delay")
    if not settings.realtime:
        _check_lockstep(settings)


def _check_latency_suite(config: RolloutConfig) -> None:
    settings = config.settings
    if config.suite != "latency":
        for flag, value in (
            ("--latencies-ms", config.latencies_ms),
            ("--switchings", config.switchings),
        ):
            if value:
                raise UsageError(f"{flag} needs --suite latency")
        return
    if settings.policy == "scripted" or settings.realtime:
        raise UsageError("--suite latency needs a server, and sets --realtime and --clock itself")
    if any(not 0 <= ms <= 10_000 for ms in config.latencies_ms):
        raise UsageError("--latencies-ms: expected 0 to 10000 each")


def _check_lockstep(settings: EpisodeSettings) -> None:
    for flag, value in (
        ("--latency-ms", settings.latency_ms),
        ("--jitter-ms", settings.jitter_ms),
    ):
        if value:
            raise UsageError(f"{flag} needs --realtime: in lockstep the robot waits anyway")
    for name, default in (("clock", "wall"), ("switching", "naive")):
        value = getattr(settings, name)
        if value != default:
            raise UsageError(f"--{name} {value} needs --realtime")
