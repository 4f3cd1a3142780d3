"""What crosses the seam between clients, server and policies: specs, observations, action chunks.

These are the Python forms of policy.proto's messages; `messages` turns one into the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol, runtime_checkable

import numpy as np

PROTOCOL_VERSION = 1
MAX_MESSAGE_BYTES = 32 * 1024 * 1024  # both sides; gRPC's own default of 4 MiB is one 1080p frame
MAX_IMAGE_PIXELS = 2048 * 2048
MAX_TASK_CHARS = 2000
MAX_TAG_BYTES = 256


class ImageCodec(IntEnum):
    """How an image's bytes are to be read; the numbers are policy.proto's."""

    RAW_RGB8 = 1
    JPEG = 2
    PNG = 3


@dataclass(frozen=True)
class EncodedImage:
    """A JPEG or PNG file's bytes, 8-bit RGB."""

    codec: ImageCodec
    data: bytes


Frame = np.ndarray | EncodedImage  # (height, width, 3) uint8 RGB, or compressed


@dataclass(frozen=True)
class Observation:
    """What a robot sees, where its joints are, and what it is asked to do.

    cameras: {name: frames, oldest first}, each (height, width, 3) uint8 or compressed
    state: {group: (steps, dim) float32}, in the group's unit
    task: the instruction in words
    """

    cameras: Mapping[str, Sequence[Frame]]
    state: Mapping[str, np.ndarray]
    task: str


@dataclass(frozen=True)
class ActionPrefix:
    """What a robot has not yet executed of its last chunk (real-time chunking).

    action: {group: (steps, dim) float32}, absolute
    delay_steps: steps that will have been executed when the new chunk arrives
    """

    action: Mapping[str, np.ndarray]
    delay_steps: int


@dataclass(frozen=True)
class PolicyRequest:
    """One observation to turn into a chunk; `seed` None lets the server draw one.

    max_age_ms: how old it may get on the server before the policy starts on it; None for no bound
    """

    observation: Observation
    seed: int | None = None
    sequence: int = 0
    client_tag: str = ""
    prefix: ActionPrefix | None = None
    max_age_ms: int | None = None


@dataclass(frozen=True)
class StageDurations:
    """Where the server's time went for one request, in milliseconds."""

    queue_ms: float = 0.0
    decode_ms: float = 0.0
    preprocess_ms: float = 0.0
    backbone_ms: float = 0.0
    action_head_ms: float = 0.0
    encode_ms: float = 0.0

    @property
    def total_ms(self) -> float:
        """Sum of the stages: what the server accounts for, without the network."""
        return (
            self.queue_ms
            + self.decode_ms
            + self.preprocess_ms
            + self.backbone_ms
            + self.action_head_ms
            + self.encode_ms
        )


@dataclass(frozen=True)
class ActionChunk:
    """A policy's answer: {group: (horizon, dim) float32}, absolute, in the group's unit."""

    action: Mapping[str, np.ndarray]
    seed: int = 0
    sequence: int = 0
    client_tag: str = ""
    durations: StageDurations = StageDurations()
    checkpoint_hash: str = ""


@dataclass(frozen=True)
class CameraSpec:
    """A camera that the policy looks through; height and width 0 where the checkpoint is silent.

    delta_indices: which steps its frames are of, from now: (-2, 0); empty where only their number
    is known, which for one frame is now's
    """

    name: str
    steps: int = 1
    height: int = 0
    width: int = 0
    delta_indices: tuple[int, ...] = ()


@dataclass(frozen=True)
class StateSpec:
    """A group of the robot's state; delta_indices as CameraSpec's."""

    name: str
    dim: int
    steps: int = 1
    unit: str = ""
    delta_indices: tuple[int, ...] = ()


@dataclass(frozen=True)
class ActionSpec:
    """A group of the robot's action; `relative` tells how the policy thinks of it."""

    name: str
    dim: int
    relative: bool = False
    unit: str = ""


@dataclass(frozen=True)
class Limits:
    """What a server accepts of one message."""

    max_message_bytes: int = MAX_MESSAGE_BYTES
    max_image_pixels: int = MAX_IMAGE_PIXELS
    max_task_chars: int = MAX_TASK_CHARS
    max_batch: int = 1


@dataclass(frozen=True)
class TrainingRecord:
    """The recordings that a checkpoint was trained on, and those held out."""

    dataset_name: str
    dataset_hash: str
    train_episodes: tuple[int, ...]
    held_out_episodes: tuple[int, ...] = ()


@dataclass(frozen=True)
class PolicySpec:
    """What a policy is, needs and gives; the server adds its limits and sends it as GetInfo."""

    policy: str
    cameras: tuple[CameraSpec, ...]
    state: tuple[StateSpec, ...]
    action: tuple[ActionSpec, ...]
    horizon: int
    rate_hz: float = 0.0
    denoising_steps: int = 0
    checkpoint_name: str = ""
    checkpoint_hash: str = ""
    processor_hash: str = ""
    embodiment_tag: str = ""
    device: str = "cpu"
    dtype: str = "float32"
    supports_seed: bool = False
    supports_prefix: bool = False
    max_batch: int = 1
    training: tuple[TrainingRecord, ...] = ()


@dataclass(frozen=True)
class ServerInfo:
    """GetInfo's answer."""

    spec: PolicySpec
    limits: Limits
    protocol_version: int = PROTOCOL_VERSION
    server_version: str = ""
    image_codecs: tuple[ImageCodec, ...] = tuple(ImageCodec)


@dataclass(frozen=True)
class PolicyOutput:
    """What a policy gives for one request.

    action: {group: (horizon, dim) float32}, absolute
    durations: only preprocess_ms, backbone_ms and action_head_ms are the policy's to fill
    """

    action: Mapping[str, np.ndarray]
    durations: StageDurations = field(default_factory=StageDurations)


class Policy(Protocol):
    """The seam between the server and whatever decides what the robot does."""

    @property
    def spec(self) -> PolicySpec:
        """What this policy needs and gives; constant."""
        ...

    def infer(self, requests: Sequence[PolicyRequest]) -> list[PolicyOutput]:
        """Answer requests that fit the spec, in order.

        Frames are arrays by now and every seed is set. Results must not depend on which requests
        come together. May raise PolicyError; anything else is the policy's failure.
        """
        ...


COMPILER_THREAD = "improve-policy"
"""Name of the thread in which an Improving policy works on itself; nothing waits for it"""


@runtime_checkable
class IdleWork(Protocol):
    """A policy that becomes faster while it answers, in ways that its chunks do not show."""

    def improve(self) -> None:
        """Do one piece of work that wants the policy's thread, between two batches."""
        ...
