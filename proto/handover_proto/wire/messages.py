"""Requests, replies and errors as policy.proto's messages, and back."""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
from handover_common import printable

from handover_proto import policy_pb2 as pb
from handover_proto.errors import BY_STATUS, InvalidRequest, Overloaded, PolicyError
from handover_proto.types import (
    ActionChunk,
    ActionPrefix,
    ActionSpec,
    Limits,
    Observation,
    PolicyRequest,
    PolicySpec,
    PrefixMethod,
    StageDurations,
    StateSpec,
)
from handover_proto.validation import check_names, check_request
from handover_proto.wire.codec import decode_image, decode_tensor, fill_tensor, lay_out_image
from handover_proto.wire.fields import Part, field

ERROR_METADATA_KEY = "handover-error-bin"  # trailing metadata: a serialized ErrorDetail
_MAX_ERROR_CHARS = 400
_LONGEST_RETRY_S = 60.0
_OBSERVATION = pb.InferRequest.OBSERVATION_FIELD_NUMBER
_CAMERAS = pb.Observation.CAMERAS_FIELD_NUMBER
_FRAMES = pb.CameraFrames.FRAMES_FIELD_NUMBER
_MAP_KEY, _MAP_VALUE = 1, 2  # fields of a map's entry, which is a message
_METHODS = frozenset(int(method) for method in PrefixMethod)
_STAGES = tuple(stage.name for stage in dataclasses.fields(StageDurations))


def serialize_request(request: PolicyRequest) -> bytes:
    """Serialize a request as an InferRequest, without checking it against a server's spec.

    Protobuf merges the parts of a submessage: an observation without cameras, and one per camera.
    """
    message = pb.InferRequest(
        seed=request.seed,
        sequence=request.sequence,
        client_tag=request.client_tag,
        max_age_ms=request.max_age_ms,
    )
    message.observation.task = request.observation.task
    for name, values in request.observation.state.items():
        fill_tensor(message.observation.state[name], values)
    if request.prefix is not None:
        message.prefix.delay_steps = request.prefix.delay_steps
        message.prefix.guided = request.prefix.guided
        for name, values in request.prefix.action.items():
            fill_tensor(message.prefix.action[name], values)
    parts: list[Part] = [message.SerializeToString()]
    for name, frames in request.observation.cameras.items():
        images = [part for frame in frames for part in field(_FRAMES, lay_out_image(frame))]
        camera = [*field(_MAP_KEY, [name.encode()]), *field(_MAP_VALUE, images)]
        parts += field(_OBSERVATION, field(_CAMERAS, camera))
    return b"".join(parts)


def decode_request(message: pb.InferRequest, spec: PolicySpec, limits: Limits) -> PolicyRequest:
    """Decode a message to a request that fits `spec`, with its frames decompressed.

    Raises InvalidRequest naming the field, or UnmetPrecondition. Names unknown to the spec are
    refused before any array is made or image decompressed.
    """
    _check_cameras_known(message.observation.cameras, spec)
    check_names("observation.state", message.observation.state, _names(spec.state))
    cameras = _decode_cameras(message.observation.cameras, limits)
    prefix = None
    if message.HasField("prefix"):
        if spec.supports_prefix:
            check_names("prefix.action", message.prefix.action, _names(spec.action))
        prefix = ActionPrefix(
            _decode_groups(message.prefix.action, "prefix.action"),
            message.prefix.delay_steps,
            message.prefix.guided,
        )
    request = PolicyRequest(
        observation=Observation(
            cameras=cameras,
            state=_decode_groups(message.observation.state, "observation.state"),
            task=message.observation.task,
        ),
        seed=message.seed if message.HasField("seed") else None,
        sequence=message.sequence,
        client_tag=message.client_tag,
        prefix=prefix,
        max_age_ms=message.max_age_ms if message.HasField("max_age_ms") else None,
    )
    check_request(request, spec, limits)
    return request


def _decode_cameras(
    cameras: Mapping[str, pb.CameraFrames], limits: Limits
) -> dict[str, list[np.ndarray]]:
    return {
        name: [
            decode_image(
                image,
                f'observation.cameras["{name}"].frames[{index}]',
                limits.max_image_pixels,
            )
            for index, image in enumerate(camera.frames)
        ]
        for name, camera in cameras.items()
    }


def _names(groups: Iterable[StateSpec | ActionSpec]) -> list[str]:
    return [group.name for group in groups]


def _check_cameras_known(cameras: Mapping[str, pb.CameraFrames], spec: PolicySpec) -> None:
    steps = {camera.name: camera.steps for camera in spec.cameras}
    for name, camera in cameras.items():
        if name not in steps:
            raise InvalidRequest(
                "observation.cameras", f"exactly {', '.join(steps)}", f"unknown {name[:40]!r}"
            )
        if len(camera.frames) != steps[name]:
            raise InvalidRequest(
                f'observation.cameras["{name}"]',
                f"{steps[name]} frame(s)",
                f"{len(camera.frames)}",
            )


def _decode_groups(groups: Mapping[str, pb.Tensor], path: str) -> dict[str, np.ndarray]:
    return {
        name: decode_tensor(tensor, f'{path}["{name[:40]}"]') for name, tensor in groups.items()
    }


def encode_chunk(chunk: ActionChunk) -> pb.InferReply:
    """Encode a chunk as its message."""
    message = pb.InferReply(
        seed=chunk.seed,
        sequence=chunk.sequence,
        client_tag=chunk.client_tag,
        durations=pb.StageDurations(**vars(chunk.durations)),
        checkpoint_hash=chunk.checkpoint_hash,
        prefix_method=int(chunk.prefix_method),  # type: ignore[arg-type]
    )
    for name, values in chunk.action.items():
        fill_tensor(message.action[name], values)
    return message


def decode_chunk(message: pb.InferReply) -> ActionChunk:
    """Decode a message to a chunk; raises its `error` if that is set."""
    if message.HasField("error"):
        raise decode_error(message.error)
    durations = message.durations
    return ActionChunk(
        action=_decode_groups(message.action, "action"),
        seed=message.seed,
        sequence=message.sequence,
        client_tag=message.client_tag,
        durations=StageDurations(**{stage: getattr(durations, stage) for stage in _STAGES}),
        checkpoint_hash=message.checkpoint_hash,
        prefix_method=PrefixMethod(message.prefix_method)
        if message.prefix_method in _METHODS
        else PrefixMethod.NONE,
    )


def encode_error(error: PolicyError) -> pb.ErrorDetail:
    """Encode an error as the message that accompanies its status."""
    detail = pb.ErrorDetail(status=error.status, message=_cut(str(error)))
    if isinstance(error, InvalidRequest):
        detail.field, detail.expected, detail.got = map(
            _cut, (error.field, error.expected, error.got)
        )
    if isinstance(error, Overloaded):
        detail.retry_after_s = error.retry_after_s
    return detail


def _cut(text: str) -> str:
    """Cut a text to what fits into gRPC's metadata (8 KiB), however long a name in it may be."""
    return text if len(text) <= _MAX_ERROR_CHARS else text[: _MAX_ERROR_CHARS - 1] + "…"


def decode_error(detail: pb.ErrorDetail) -> PolicyError:
    """Decode the message to the error that it was encoded from."""
    kind, message = BY_STATUS.get(detail.status, PolicyError), printable(detail.message)
    if kind is InvalidRequest:
        return InvalidRequest(*map(printable, (detail.field, detail.expected, detail.got)))
    if kind is Overloaded:
        retry_s = detail.retry_after_s
        if not 0 <= retry_s <= _LONGEST_RETRY_S:  # nobody sleeps for a NaN or a year
            retry_s = _LONGEST_RETRY_S if retry_s > 0 else 0.0
        return Overloaded(message, retry_s)
    return kind(message)
