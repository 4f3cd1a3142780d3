"""Values that clients, server and policies exchange: observations, action chunks, specs, limits.

They are the Python forms of policy.proto's messages; `handover_proto.wire` converts between them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

PROTOCOL_VERSION = 1
MAX_MESSAGE_BYTES = 32 * 1024 * 1024  # both sides; gRPC's own default of 4 MiB is one 1080p frame
MAX_IMAGE_PIXELS = 2048 * 2048
MAX_TASK_CHARS = 2000
MAX_TAG_BYTES = 256


class ImageCodec(IntEnum):
    """Encoding of an image's bytes; the numbers are policy.proto's."""

    RAW_RGB8 = 1
    JPEG = 2
    PNG = 3

    @classmethod
    def parse(cls, word: "str | ImageCodec") -> "ImageCodec":
        """Return the codec of a word: raw, jpeg or png; a codec is returned as it is.

        Raises ValueError listing the words.
        """
        codecs = {"raw": cls.RAW_RGB8, "jpeg": cls.JPEG, "png": cls.PNG}
        if isinstance(word, str) and word not in codecs:
            raise ValueError(f"image codec is {word!r}, expected {', '.join(codecs)}")
        return codecs[word] if isinstance(word, str) else word


class PrefixMethod(IntEnum):
    """How a chunk continues its request's prefix; the numbers are policy.proto's."""

    NONE = 0
    GUIDED = 1
    LEARNED = 2


@dataclass(frozen=True)
class EncodedImage:
    """A JPEG or PNG file's bytes, 8-bit RGB."""

    codec: ImageCodec
    data: bytes


Frame = np.ndarray | EncodedImage  # (height, width, 3) uint8 RGB, or compressed


@dataclass(frozen=True)
class Observation:
    """One observation of a robot: camera frames, joint state and instruction.

    cameras: {name: frames, oldest first}, each (height, width, 3) uint8 or compressed
    state: {group: (steps, dim) float32}, in the group's unit
    task: the instruction in words
    """

    cameras: Mapping[str, Sequence[Frame]]
    state: Mapping[str, np.ndarray]
    task: str


@dataclass(frozen=True)
class ActionPrefix:
    """The unexecuted rest of a robot's last chunk, for real-time chunking.

    action: {group: (steps, dim) float32}, absolute
    delay_steps: steps that will have been executed when the new chunk arrives
    guided: guide the chunk even where the policy has learnt to continue the prefix
    """

    action: Mapping[str, np.ndarray]
    delay_steps: int
    guided: bool = False


@dataclass(frozen=True)
class PolicyRequest:
    """A request for one chunk; with `seed` None the server draws one.

    max_age_ms: maximum age on the server when the policy starts on it; None for no bound
    """

    observation: Observation
    seed: int | None = None
    sequence: int = 0
    client_tag: str = ""
    prefix: ActionPrefix | None = None
    max_age_ms: int | None = None


@dataclass(frozen=True)
class StageDurations:
    """The server's time for one request by stage, in milliseconds."""

    queue_ms: float = 0.0
    decode_ms: float = 0.0
    preprocess_ms: float = 0.0
    backbone_ms: float = 0.0
    action_head_ms: float = 0.0
    encode_ms: float = 0.0

    @property
    def total_ms(self) -> float:
        """Sum of the stages: the server's own time, without the network."""
        return sum(vars(self).values())


@dataclass(frozen=True)
class ActionChunk:
    """Action chunk of a policy: {group: (horizon, dim) float32}, absolute, in the group's unit."""

    action: Mapping[str, np.ndarray]
    seed: int = 0
    sequence: int = 0
    client_tag: str = ""
    durations: StageDurations = StageDurations()
    checkpoint_hash: str = ""
    prefix_method: PrefixMethod = PrefixMethod.NONE


@dataclass(frozen=True)
class CameraSpec:
    """A camera of the policy; height and width are 0 where the checkpoint does not name them.

    delta_indices: time steps of its frames, relative to now: (-2, 0); empty where only their number
    is known, and a single frame is of now
    """

    name: str
    steps: int = 1
    height: int = 0
    width: int = 0
    delta_indices: tuple[int, ...] = ()


@dataclass(frozen=True)
class StateSpec:
    """A group of the robot's state; delta_indices as in CameraSpec."""

    name: str
    dim: int
    steps: int = 1
    unit: str = ""
    delta_indices: tuple[int, ...] = ()


@dataclass(frozen=True)
class ActionSpec:
    """A group of the robot's action; `relative`: the policy predicts it relative to the state."""

    name: str
    dim: int
    relative: bool = False
    unit: str = ""


@dataclass(frozen=True)
class Limits:
    """Limits of a server on one message."""

    max_message_bytes: int = MAX_MESSAGE_BYTES
    max_image_pixels: int = MAX_IMAGE_PIXELS
    max_task_chars: int = MAX_TASK_CHARS
    max_batch: int = 1


@dataclass(frozen=True)
class TrainingRecord:
    """Episodes that a checkpoint was trained on, and those held out."""

    dataset_name: str
    dataset_hash: str
    train_episodes: tuple[int, ...]
    held_out_episodes: tuple[int, ...] = ()


@dataclass(frozen=True)
class LatencyEnvelope:
    """Largest latency at which a task's success was measured to stay within 2 points of none.

    task: the instruction; switching: of chunks, as in `handover rollout --switching`
    jitter_ms: uniform variation of the latency, plus or minus; episodes: at each latency
    """

    task: str
    switching: str
    latency_ms: float
    jitter_ms: float
    episodes: int


@dataclass(frozen=True)
class PolicySpec:
    """A policy's identity, inputs and outputs; the server sends it with its limits as GetInfo.

    language_key: where a dataset has the policy's instruction, empty where nothing tells;
    first_step: steps from an observation to its chunk's first action
    """

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
    learned_delay_steps: int = 0
    """Largest delay of a prefix that the policy has learnt to continue; 0: all are guided"""
    latency_envelopes: tuple[LatencyEnvelope, ...] = ()
    max_batch: int = 1
    training: tuple[TrainingRecord, ...] = ()
    language_key: str = ""
    first_step: int = 0


@dataclass(frozen=True)
class ServerInfo:
    """Reply to GetInfo."""

    spec: PolicySpec
    limits: Limits
    protocol_version: int = PROTOCOL_VERSION
    server_version: str = ""
    image_codecs: tuple[ImageCodec, ...] = tuple(ImageCodec)


@dataclass(frozen=True)
class PolicyOutput:
    """A policy's output for one request.

    action: {group: (horizon, dim) float32}, absolute
    durations: the policy fills only preprocess_ms, backbone_ms and action_head_ms
    """

    action: Mapping[str, np.ndarray]
    durations: StageDurations = field(default_factory=StageDurations)
    prefix_method: PrefixMethod = PrefixMethod.NONE
