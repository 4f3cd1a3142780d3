from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DTYPE_UNSPECIFIED: _ClassVar[DType]
    FLOAT32: _ClassVar[DType]
    FLOAT64: _ClassVar[DType]
    FLOAT16: _ClassVar[DType]
    UINT8: _ClassVar[DType]
    INT8: _ClassVar[DType]
    UINT16: _ClassVar[DType]
    INT16: _ClassVar[DType]
    UINT32: _ClassVar[DType]
    INT32: _ClassVar[DType]
    UINT64: _ClassVar[DType]
    INT64: _ClassVar[DType]
    BOOL: _ClassVar[DType]

class ImageCodec(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMAGE_CODEC_UNSPECIFIED: _ClassVar[ImageCodec]
    RAW_RGB8: _ClassVar[ImageCodec]
    JPEG: _ClassVar[ImageCodec]
    PNG: _ClassVar[ImageCodec]

class PrefixMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PREFIX_METHOD_NONE: _ClassVar[PrefixMethod]
    GUIDED: _ClassVar[PrefixMethod]
    LEARNED: _ClassVar[PrefixMethod]

class ActionRepresentation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTION_REPRESENTATION_UNSPECIFIED: _ClassVar[ActionRepresentation]
    ABSOLUTE: _ClassVar[ActionRepresentation]
    RELATIVE: _ClassVar[ActionRepresentation]
DTYPE_UNSPECIFIED: DType
FLOAT32: DType
FLOAT64: DType
FLOAT16: DType
UINT8: DType
INT8: DType
UINT16: DType
INT16: DType
UINT32: DType
INT32: DType
UINT64: DType
INT64: DType
BOOL: DType
IMAGE_CODEC_UNSPECIFIED: ImageCodec
RAW_RGB8: ImageCodec
JPEG: ImageCodec
PNG: ImageCodec
PREFIX_METHOD_NONE: PrefixMethod
GUIDED: PrefixMethod
LEARNED: PrefixMethod
ACTION_REPRESENTATION_UNSPECIFIED: ActionRepresentation
ABSOLUTE: ActionRepresentation
RELATIVE: ActionRepresentation

class Tensor(_message.Message):
    __slots__ = ("dtype", "shape", "data")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    dtype: DType
    shape: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    def __init__(self, dtype: _Optional[_Union[DType, str]] = ..., shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("codec", "height", "width", "data")
    CODEC_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    codec: ImageCodec
    height: int
    width: int
    data: bytes
    def __init__(self, codec: _Optional[_Union[ImageCodec, str]] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class CameraFrames(_message.Message):
    __slots__ = ("frames",)
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedCompositeFieldContainer[Image]
    def __init__(self, frames: _Optional[_Iterable[_Union[Image, _Mapping]]] = ...) -> None: ...

class Observation(_message.Message):
    __slots__ = ("cameras", "state", "task")
    class CamerasEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: CameraFrames
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[CameraFrames, _Mapping]] = ...) -> None: ...
    class StateEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Tensor
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...
    CAMERAS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    cameras: _containers.MessageMap[str, CameraFrames]
    state: _containers.MessageMap[str, Tensor]
    task: str
    def __init__(self, cameras: _Optional[_Mapping[str, CameraFrames]] = ..., state: _Optional[_Mapping[str, Tensor]] = ..., task: _Optional[str] = ...) -> None: ...

class ActionPrefix(_message.Message):
    __slots__ = ("action", "delay_steps", "guided")
    class ActionEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Tensor
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...
    ACTION_FIELD_NUMBER: _ClassVar[int]
    DELAY_STEPS_FIELD_NUMBER: _ClassVar[int]
    GUIDED_FIELD_NUMBER: _ClassVar[int]
    action: _containers.MessageMap[str, Tensor]
    delay_steps: int
    guided: bool
    def __init__(self, action: _Optional[_Mapping[str, Tensor]] = ..., delay_steps: _Optional[int] = ..., guided: bool = ...) -> None: ...

class InferRequest(_message.Message):
    __slots__ = ("observation", "seed", "sequence", "client_tag", "prefix", "max_age_ms")
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TAG_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    observation: Observation
    seed: int
    sequence: int
    client_tag: str
    prefix: ActionPrefix
    max_age_ms: int
    def __init__(self, observation: _Optional[_Union[Observation, _Mapping]] = ..., seed: _Optional[int] = ..., sequence: _Optional[int] = ..., client_tag: _Optional[str] = ..., prefix: _Optional[_Union[ActionPrefix, _Mapping]] = ..., max_age_ms: _Optional[int] = ...) -> None: ...

class StageDurations(_message.Message):
    __slots__ = ("queue_ms", "decode_ms", "preprocess_ms", "backbone_ms", "action_head_ms", "encode_ms")
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    DECODE_MS_FIELD_NUMBER: _ClassVar[int]
    PREPROCESS_MS_FIELD_NUMBER: _ClassVar[int]
    BACKBONE_MS_FIELD_NUMBER: _ClassVar[int]
    ACTION_HEAD_MS_FIELD_NUMBER: _ClassVar[int]
    ENCODE_MS_FIELD_NUMBER: _ClassVar[int]
    queue_ms: float
    decode_ms: float
    preprocess_ms: float
    backbone_ms: float
    action_head_ms: float
    encode_ms: float
    def __init__(self, queue_ms: _Optional[float] = ..., decode_ms: _Optional[float] = ..., preprocess_ms: _Optional[float] = ..., backbone_ms: _Optional[float] = ..., action_head_ms: _Optional[float] = ..., encode_ms: _Optional[float] = ...) -> None: ...

class InferReply(_message.Message):
    __slots__ = ("action", "seed", "sequence", "client_tag", "durations", "checkpoint_hash", "error", "prefix_method")
    class ActionEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Tensor
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...
    ACTION_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TAG_FIELD_NUMBER: _ClassVar[int]
    DURATIONS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_HASH_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PREFIX_METHOD_FIELD_NUMBER: _ClassVar[int]
    action: _containers.MessageMap[str, Tensor]
    seed: int
    sequence: int
    client_tag: str
    durations: StageDurations
    checkpoint_hash: str
    error: ErrorDetail
    prefix_method: PrefixMethod
    def __init__(self, action: _Optional[_Mapping[str, Tensor]] = ..., seed: _Optional[int] = ..., sequence: _Optional[int] = ..., client_tag: _Optional[str] = ..., durations: _Optional[_Union[StageDurations, _Mapping]] = ..., checkpoint_hash: _Optional[str] = ..., error: _Optional[_Union[ErrorDetail, _Mapping]] = ..., prefix_method: _Optional[_Union[PrefixMethod, str]] = ...) -> None: ...

class ErrorDetail(_message.Message):
    __slots__ = ("status", "message", "field", "expected", "got", "retry_after_s")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    GOT_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    status: int
    message: str
    field: str
    expected: str
    got: str
    retry_after_s: float
    def __init__(self, status: _Optional[int] = ..., message: _Optional[str] = ..., field: _Optional[str] = ..., expected: _Optional[str] = ..., got: _Optional[str] = ..., retry_after_s: _Optional[float] = ...) -> None: ...

class GetInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CameraSpec(_message.Message):
    __slots__ = ("name", "steps", "height", "width", "delta_indices")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    DELTA_INDICES_FIELD_NUMBER: _ClassVar[int]
    name: str
    steps: int
    height: int
    width: int
    delta_indices: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., steps: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., delta_indices: _Optional[_Iterable[int]] = ...) -> None: ...

class StateSpec(_message.Message):
    __slots__ = ("name", "dim", "steps", "unit", "delta_indices")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    DELTA_INDICES_FIELD_NUMBER: _ClassVar[int]
    name: str
    dim: int
    steps: int
    unit: str
    delta_indices: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., dim: _Optional[int] = ..., steps: _Optional[int] = ..., unit: _Optional[str] = ..., delta_indices: _Optional[_Iterable[int]] = ...) -> None: ...

class ActionSpec(_message.Message):
    __slots__ = ("name", "dim", "representation", "unit")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    REPRESENTATION_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    dim: int
    representation: ActionRepresentation
    unit: str
    def __init__(self, name: _Optional[str] = ..., dim: _Optional[int] = ..., representation: _Optional[_Union[ActionRepresentation, str]] = ..., unit: _Optional[str] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_message_bytes", "max_image_pixels", "max_task_chars", "max_batch")
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_IMAGE_PIXELS_FIELD_NUMBER: _ClassVar[int]
    MAX_TASK_CHARS_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_FIELD_NUMBER: _ClassVar[int]
    max_message_bytes: int
    max_image_pixels: int
    max_task_chars: int
    max_batch: int
    def __init__(self, max_message_bytes: _Optional[int] = ..., max_image_pixels: _Optional[int] = ..., max_task_chars: _Optional[int] = ..., max_batch: _Optional[int] = ...) -> None: ...

class TrainingRecord(_message.Message):
    __slots__ = ("dataset_name", "dataset_hash", "train_episodes", "held_out_episodes")
    DATASET_NAME_FIELD_NUMBER: _ClassVar[int]
    DATASET_HASH_FIELD_NUMBER: _ClassVar[int]
    TRAIN_EPISODES_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_EPISODES_FIELD_NUMBER: _ClassVar[int]
    dataset_name: str
    dataset_hash: str
    train_episodes: _containers.RepeatedScalarFieldContainer[int]
    held_out_episodes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, dataset_name: _Optional[str] = ..., dataset_hash: _Optional[str] = ..., train_episodes: _Optional[_Iterable[int]] = ..., held_out_episodes: _Optional[_Iterable[int]] = ...) -> None: ...

class LatencyEnvelope(_message.Message):
    __slots__ = ("task", "switching", "latency_ms", "jitter_ms", "episodes")
    TASK_FIELD_NUMBER: _ClassVar[int]
    SWITCHING_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    JITTER_MS_FIELD_NUMBER: _ClassVar[int]
    EPISODES_FIELD_NUMBER: _ClassVar[int]
    task: str
    switching: str
    latency_ms: float
    jitter_ms: float
    episodes: int
    def __init__(self, task: _Optional[str] = ..., switching: _Optional[str] = ..., latency_ms: _Optional[float] = ..., jitter_ms: _Optional[float] = ..., episodes: _Optional[int] = ...) -> None: ...

class GetInfoReply(_message.Message):
    __slots__ = ("protocol_version", "server_version", "policy", "checkpoint_name", "checkpoint_hash", "processor_hash", "embodiment_tag", "cameras", "state", "action", "horizon", "rate_hz", "denoising_steps", "image_codecs", "limits", "supports_seed", "supports_prefix", "device", "dtype", "training", "language_key", "first_step", "learned_delay_steps", "latency_envelopes")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_NAME_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_HASH_FIELD_NUMBER: _ClassVar[int]
    PROCESSOR_HASH_FIELD_NUMBER: _ClassVar[int]
    EMBODIMENT_TAG_FIELD_NUMBER: _ClassVar[int]
    CAMERAS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    HORIZON_FIELD_NUMBER: _ClassVar[int]
    RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    DENOISING_STEPS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_CODECS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    SUPPORTS_SEED_FIELD_NUMBER: _ClassVar[int]
    SUPPORTS_PREFIX_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    TRAINING_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_KEY_FIELD_NUMBER: _ClassVar[int]
    FIRST_STEP_FIELD_NUMBER: _ClassVar[int]
    LEARNED_DELAY_STEPS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_ENVELOPES_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    server_version: str
    policy: str
    checkpoint_name: str
    checkpoint_hash: str
    processor_hash: str
    embodiment_tag: str
    cameras: _containers.RepeatedCompositeFieldContainer[CameraSpec]
    state: _containers.RepeatedCompositeFieldContainer[StateSpec]
    action: _containers.RepeatedCompositeFieldContainer[ActionSpec]
    horizon: int
    rate_hz: float
    denoising_steps: int
    image_codecs: _containers.RepeatedScalarFieldContainer[ImageCodec]
    limits: Limits
    supports_seed: bool
    supports_prefix: bool
    device: str
    dtype: str
    training: _containers.RepeatedCompositeFieldContainer[TrainingRecord]
    language_key: str
    first_step: int
    learned_delay_steps: int
    latency_envelopes: _containers.RepeatedCompositeFieldContainer[LatencyEnvelope]
    def __init__(self, protocol_version: _Optional[int] = ..., server_version: _Optional[str] = ..., policy: _Optional[str] = ..., checkpoint_name: _Optional[str] = ..., checkpoint_hash: _Optional[str] = ..., processor_hash: _Optional[str] = ..., embodiment_tag: _Optional[str] = ..., cameras: _Optional[_Iterable[_Union[CameraSpec, _Mapping]]] = ..., state: _Optional[_Iterable[_Union[StateSpec, _Mapping]]] = ..., action: _Optional[_Iterable[_Union[ActionSpec, _Mapping]]] = ..., horizon: _Optional[int] = ..., rate_hz: _Optional[float] = ..., denoising_steps: _Optional[int] = ..., image_codecs: _Optional[_Iterable[_Union[ImageCodec, str]]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., supports_seed: bool = ..., supports_prefix: bool = ..., device: _Optional[str] = ..., dtype: _Optional[str] = ..., training: _Optional[_Iterable[_Union[TrainingRecord, _Mapping]]] = ..., language_key: _Optional[str] = ..., first_step: _Optional[int] = ..., learned_delay_steps: _Optional[int] = ..., latency_envelopes: _Optional[_Iterable[_Union[LatencyEnvelope, _Mapping]]] = ...) -> None: ...
