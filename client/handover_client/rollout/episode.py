"""One episode of a rollout as a worker plays it: from its task to its record and video."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
from handover_proto import ImageCodec, ServerInfo

from handover_client.connection.foreign.open import open_server
from handover_client.connection.foreign.spec_file import ToldSpec
from handover_client.connection.security import UNPROTECTED, ChannelSecurity
from handover_client.control.chunk_sources import ChunkSource, ServerChunks
from handover_client.control.controller import RealTimeController
from handover_client.control.observation import JointsAndImage
from handover_client.control.real_time import WallClock
from handover_client.control.robot_view import RobotView
from handover_client.rollout.config import EpisodeSettings
from handover_client.rollout.loop import EpisodeSetup, PlayedEpisode, play_episode
from handover_client.rollout.record import EpisodeRecord
from handover_client.rollout.trace import EpisodeTrace
from handover_client.rollout.video import draw_again, encode_h264
from handover_client.rollout.watched_robot import FrameAge, Robot, WatchedRobot


@dataclass(frozen=True)
class ServedPolicy:
    """The policy server of a rollout, and what it served when the rollout began."""

    address: str
    info: ServerInfo
    call_timeout_s: float
    security: ChannelSecurity = UNPROTECTED
    told: ToldSpec | None = None  # what its protocol does not tell


@dataclass(frozen=True)
class EpisodeTask:
    """An episode to play; all that a worker needs to know."""

    settings: EpisodeSettings
    episode: int
    seed: int
    view: RobotView  # what the policy is shown, its instruction too
    control_rate_hz: float
    chunk_rate_hz: float
    horizon: int
    reconnect_s: float  # how long to go on without an answer
    server: ServedPolicy | None  # None for the script
    played: PlayedEpisode | None = None  # before: then only its video is wanted


@dataclass(frozen=True)
class FinishedEpisode:
    """An episode as played, and its video as an mp4 file's bytes (empty where none is kept)."""

    record: EpisodeRecord
    trace: EpisodeTrace
    video: bytes


def play_task(task: EpisodeTask, robot: Robot, source: ChunkSource) -> FinishedEpisode:
    """Play an episode, unless it was played before, and draw its video, where one is wanted.

    One that lost its server is not drawn: it is played again.
    """
    played = task.played or _play(task, robot, source)
    settings, record, trace = task.settings, played.record, played.trace
    of_a_failure = settings.videos == "failures" and not record.success
    is_wanted = task.played or settings.videos == "all" or of_a_failure
    if record.lost_server or not is_wanted:
        return FinishedEpisode(record, trace, b"")
    every = round(task.control_rate_hz / settings.video_rate_hz)
    frames = draw_again(robot, task.seed, played.targets, every, record.max_reward)
    video = encode_h264(frames, settings.video_rate_hz)
    path = f"videos/episode_{task.episode:06d}.mp4"
    return FinishedEpisode(dataclasses.replace(record, video=path), trace, video)


@contextmanager
def server_source(task: EpisodeTask) -> Iterator[ServerChunks]:
    """Open a connection for one episode; it is made when the first chunk is asked for."""
    server = task.server
    assert server is not None
    codec = ImageCodec.parse(task.settings.image_codec)
    limits = server.call_timeout_s, server.security, server.told
    with open_server(server.address, codec, *limits) as client:
        yield ServerChunks(
            client,
            server.info.spec,
            layout=task.view.layout,
            seed=task.seed,
            client_tag=f"episode={task.episode}",
            same_weights=True,
        )


def _play(task: EpisodeTask, robot: Robot, source: ChunkSource) -> PlayedEpisode:
    settings = task.settings
    robot.reset(task.seed)
    period_s = 1 / task.control_rate_hz
    age = FrameAge(round(settings.frame_age_ms / 1e3 / period_s), period_s, settings.frame_times)
    watched = WatchedRobot(robot, task.view, age)
    in_real_time = settings.realtime and settings.clock == "wall"
    controller = RealTimeController(
        source,
        task.view.task,
        task.control_rate_hz,
        settings.switching,
        execute_steps=settings.execute_steps,
        interpolation=settings.interpolation,
        policy_rate_hz=task.chunk_rate_hz,
        reconnect_s=task.reconnect_s,
        clock="wall" if in_real_time else "simulated",  # without latency this is lockstep
        added_latency_s=_added_latency(task),
        delay_error_steps=settings.delay_error_steps,
    )
    clock = WallClock(period_s) if in_real_time else None

    def observe() -> JointsAndImage:
        # a real camera's frames cost the robot no time
        with clock.standing_still() if clock else nullcontext():
            return watched.observe()

    setup = EpisodeSetup(task.episode, task.seed, settings.max_steps, task.control_rate_hz)
    return play_episode(watched, controller, observe, clock, setup)


def _added_latency(task: EpisodeTask) -> Callable[[], float]:
    """Return what draws the latency of each chunk, in seconds, from the episode's seed."""
    settings, draws = task.settings, np.random.default_rng(task.seed)

    def draw_s() -> float:
        jitter_ms = draws.uniform(-settings.jitter_ms, settings.jitter_ms)
        return max(0.0, settings.latency_ms + jitter_ms) / 1e3

    return draw_s
