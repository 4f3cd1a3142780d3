"""One episode of a rollout as a worker plays it: from its task to its record and video."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from handover_proto import ImageCodec, ServerInfo

from handover_client.connection.policy_client import PolicyClient
from handover_client.connection.security import UNPROTECTED, ChannelSecurity
from handover_client.control.chunk_player import chunk_steps_per_control_step
from handover_client.control.chunk_sources import ChunkSource, RobotObservation, ServerChunks
from handover_client.control.lockstep import LockstepRequester
from handover_client.control.real_time import RealTimeRequester
from handover_client.control.request_log import RequestLog
from handover_client.control.request_schedule import RequestSchedule
from handover_client.control.requester import ChunkRequester, RequestContext
from handover_client.control.simulated_time import SimulatedTimeRequester
from handover_client.rollout.config import EpisodeSettings
from handover_client.rollout.loop import EpisodeSetup, PlayedEpisode, Robot, play_episode
from handover_client.rollout.record import EpisodeRecord
from handover_client.rollout.trace import EpisodeTrace
from handover_client.rollout.video import draw_again, encode_h264


@dataclass(frozen=True)
class ServedPolicy:
    """The policy server of a rollout, and what it served when the rollout began."""

    address: str
    info: ServerInfo
    call_timeout_s: float
    security: ChannelSecurity = UNPROTECTED


@dataclass(frozen=True)
class EpisodeTask:
    """An episode to play; all that a worker needs to know."""

    settings: EpisodeSettings
    episode: int
    seed: int
    text: str  # the instruction
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
    """Play an episode, unless it was played before, and draw its video, where one is wanted."""
    played = task.played or _play(task, robot, source)
    settings, record, trace = task.settings, played.record, played.trace
    of_a_failure = settings.videos == "failures" and not record.success
    if not (task.played or settings.videos == "all" or of_a_failure):
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
    with PolicyClient(server.address, codec, server.call_timeout_s, server.security) as client:
        yield ServerChunks(client, server.info.spec, task.text, task.episode, task.seed)


def _play(task: EpisodeTask, robot: Robot, source: ChunkSource) -> PlayedEpisode:
    settings = task.settings
    robot.reset(task.seed)
    ratio = chunk_steps_per_control_step(task.chunk_rate_hz, task.control_rate_hz)
    schedule = RequestSchedule(ratio, settings.execute_steps, task.horizon)

    def look(step: int) -> RobotObservation:
        frame = robot.render(settings.image_size) if source.needs_frames else None
        return RobotObservation(schedule.sequence(step), robot.state, frame)

    log = RequestLog()
    inquiry = RequestContext(source, schedule, look, log, task.reconnect_s, settings.switching)
    setup = EpisodeSetup(
        task.episode,
        task.seed,
        settings.max_steps,
        task.chunk_rate_hz,
        task.control_rate_hz,
        settings.interpolation,
        settings.switching,
    )
    return play_episode(robot, _requester(task, inquiry), log, setup)


def _requester(task: EpisodeTask, inquiry: RequestContext) -> ChunkRequester:
    settings = task.settings
    if not settings.realtime:
        return LockstepRequester(inquiry)
    draws = np.random.default_rng(task.seed)

    def added_delay_s() -> float:
        jitter_ms = draws.uniform(-settings.jitter_ms, settings.jitter_ms)
        return max(0.0, settings.latency_ms + jitter_ms) / 1e3

    kind = SimulatedTimeRequester if settings.clock == "simulated" else RealTimeRequester
    return kind(inquiry, 1 / task.control_rate_hz, added_delay_s)
