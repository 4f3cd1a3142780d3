"""The contract of server and clients: observations, action chunks, specs, policies, errors."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_proto.embodiment import (
        ALOHA_JOINTS,
        ALOHA_SLOTS,
        ARM_JOINTS,
        CAMERA,
        CHUNK_STEPS,
        GR1_DIMS,
        GR1_SLICES,
        GR1_WIDTH,
        GRIPPER_JOINTS,
        LANGUAGE_KEY,
        POLICY_RATE_HZ,
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
    from handover_proto.policy import COMPILER_THREAD, IdleWork, Policy
    from handover_proto.request_log import (
        Damage,
        Record,
        RecordedAnswer,
        RecordedRequest,
        RecordedServer,
        encode_record,
        owner_digest,
        read_recording,
        segment_owner,
        segment_path,
        segment_start,
        segments_of,
    )
    from handover_proto.types import (
        MAX_MESSAGE_BYTES,
        MAX_TAG_BYTES,
        PROTOCOL_VERSION,
        ActionChunk,
        ActionPrefix,
        ActionSpec,
        CameraSpec,
        EncodedImage,
        Frame,
        ImageCodec,
        LatencyEnvelope,
        Limits,
        Observation,
        PolicyOutput,
        PolicyRequest,
        PolicySpec,
        PrefixMethod,
        ServerInfo,
        StageDurations,
        StateSpec,
        TrainingRecord,
    )
    from handover_proto.validation import (
        are_finite,
        check_names,
        check_request,
        example_request,
        message_limit,
    )

__getattr__, __dir__ = lazy(__name__, __file__)
