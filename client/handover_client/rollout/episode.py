"""One episode of a rollout, as a worker plays it: from its task to its record and video."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from handover_proto import ImageCodec, PolicySpec

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
from handover_client.rollout.config import RolloutConfig
from handover_client.rollout.loop import EpisodeSetup, PlayedEpisode, Robot, play_episode
from handover_client.rollout.record import EpisodeRecord
from handover_client.rollout.trace import EpisodeTrace
from handover_client.rollout.video import draw_again, encode_h264

IMAGE_CODECS = {"raw": ImageCodec.RAW_RGB8, "jpeg": ImageCodec.JPEG, "png": ImageCodec.PNG}


@dataclass(frozen=True)
class EpisodeTask:
    """An episode to play; all that a worker needs to know."""

    config: RolloutConfig
    episode: int
    seed: int
    text: str  # the instruction
    control_rate_hz: float
    chunk_rate_hz: float
    horizon: int
    spec: PolicySpec | None  # what the server serves; None for the script
    security: ChannelSecurity = UNPROTECTED
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
    config, record, trace = task.config, played.record, played.trace
    of_a_failure = config.videos == "failures" and not record.success
    if not (task.played or config.videos == "all" or of_a_failure):
        return FinishedEpisode(record, trace, b"")
    every = round(task.control_rate_hz / config.video_rate_hz)
    frames = draw_again(robot, task.seed, played.targets, every, record.max_reward)
    video = encode_h264(frames, config.video_rate_hz)
    path = f"videos/episode_{task.episode:06d}.mp4"
    return FinishedEpisode(dataclasses.replace(record, video=path), trace, video)


@contextmanager
def server_source(task: EpisodeTask) -> Iterator[ServerChunks]:
    """Open a connection for one episode; it is made when the first chunk is asked for."""
    assert task.spec is not None
    config = task.config
    codec = IMAGE_CODECS[config.image_codec]
    timeout_s = min(config.call_timeout_s, config.reconnect_s)  # a call has no more than the bound
    with PolicyClient(config.server, codec, timeout_s, task.security) as client:
        yield ServerChunks(client, task.spec, task.text, task.episode, task.seed)


def _play(task: EpisodeTask, robot: Robot, source: ChunkSource) -> PlayedEpisode:
    config = task.config
    robot.reset(task.seed)
    ratio = chunk_steps_per_control_step(task.chunk_rate_hz, task.control_rate_hz)
    schedule = RequestSchedule(ratio, config.execute_steps, task.horizon)

    def look(step: int) -> RobotObservation:
        frame = robot.render(config.image_size) if source.needs_frames else None
        return RobotObservation(schedule.sequence(step), robot.state, frame)

    log = RequestLog()
    inquiry = RequestContext(source, schedule, look, log, config.reconnect_s, config.switching)
    setup = EpisodeSetup(
        task.episode,
        task.seed,
        config.max_steps,
        task.chunk_rate_hz,
        task.control_rate_hz,
        config.interpolation,
        config.switching,
    )
    return play_episode(robot, _asking(task, inquiry), log, setup)


def _asking(task: EpisodeTask, inquiry: RequestContext) -> ChunkRequester:
    config = task.config
    if not config.realtime:
        return LockstepRequester(inquiry)
    draws = np.random.default_rng(task.seed)

    def added_delay_s() -> float:
        jitter_ms = draws.uniform(-config.jitter_ms, config.jitter_ms)
        return max(0.0, config.latency_ms + jitter_ms) / 1e3

    kind = SimulatedTimeRequester if config.clock == "simulated" else RealTimeRequester
    return kind(inquiry, 1 / task.control_rate_hz, added_delay_s)
