"""The contract between server and clients: messages, codec, embodiment map, errors."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_proto.embodiment import (
        ALOHA_JOINTS,
        ALOHA_SLOTS,
        ARM_JOINTS,
        GR1_DIMS,
        GR1_SLICES,
        GR1_WIDTH,
        GRIPPER_JOINTS,
        RELATIVE_GROUPS,
        aloha_state_groups,
        aloha_targets,
        split_groups,
        widen,
    )
    from handover_proto.errors import (
        DeadlinePassed,
        InvalidRequest,
        NotAuthorised,
        Overloaded,
        PolicyError,
        PolicyFailed,
        ServerUnavailable,
        Superseded,
        UnmetPrecondition,
    )
    from handover_proto.request_log import (
        Damage,
        Record,
        RecordedAnswer,
        RecordedRequest,
        RecordedServer,
        frame,
        read_recording,
        segment_path,
        segment_start,
        segments_of,
    )
    from handover_proto.types import (
        COMPILER_THREAD,
        MAX_MESSAGE_BYTES,
        MAX_TAG_BYTES,
        PROTOCOL_VERSION,
        ActionChunk,
        ActionPrefix,
        ActionSpec,
        CameraSpec,
        EncodedImage,
        Frame,
        IdleWork,
        ImageCodec,
        Limits,
        Observation,
        Policy,
        PolicyOutput,
        PolicyRequest,
        PolicySpec,
        ServerInfo,
        StageDurations,
        StateSpec,
        TrainingRecord,
    )
    from handover_proto.validation import are_finite, check_names, check_request

__getattr__, __dir__ = lazy(__name__, __file__)
