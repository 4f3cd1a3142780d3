"""GetInfo's reply as policy.proto's message, and back."""

import dataclasses

from handover_proto import policy_pb2 as pb
from handover_proto.types import (
    ActionSpec,
    CameraSpec,
    ImageCodec,
    LatencyEnvelope,
    Limits,
    PolicySpec,
    ServerInfo,
    StateSpec,
    TrainingRecord,
)

_SAME = (  # fields of the same name and type in PolicySpec and in the message
    *("policy", "checkpoint_name", "checkpoint_hash", "processor_hash", "embodiment_tag"),
    *("horizon", "rate_hz", "denoising_steps", "supports_seed", "supports_prefix"),
    *("learned_delay_steps", "device", "dtype", "language_key", "first_step"),
)


def encode_info(info: ServerInfo) -> pb.GetInfoReply:
    """Encode a server's info as its message."""
    spec = info.spec
    return pb.GetInfoReply(
        **{name: getattr(spec, name) for name in _SAME},
        protocol_version=info.protocol_version,
        server_version=info.server_version,
        cameras=[pb.CameraSpec(**dataclasses.asdict(camera)) for camera in spec.cameras],
        state=[pb.StateSpec(**dataclasses.asdict(group)) for group in spec.state],
        action=[
            pb.ActionSpec(
                name=group.name,
                dim=group.dim,
                representation=pb.RELATIVE if group.relative else pb.ABSOLUTE,
                unit=group.unit,
            )
            for group in spec.action
        ],
        image_codecs=[int(codec) for codec in info.image_codecs],  # type: ignore[arg-type]
        limits=pb.Limits(**dataclasses.asdict(info.limits)),
        training=[pb.TrainingRecord(**dataclasses.asdict(record)) for record in spec.training],
        latency_envelopes=[
            pb.LatencyEnvelope(**dataclasses.asdict(each)) for each in spec.latency_envelopes
        ],
    )


def decode_info(message: pb.GetInfoReply) -> ServerInfo:
    """Decode the message to a server's info; image codecs unknown to this side are left out."""
    known = {int(codec) for codec in ImageCodec}
    return ServerInfo(
        spec=_decode_spec(message),
        limits=Limits(
            message.limits.max_message_bytes,
            message.limits.max_image_pixels,
            message.limits.max_task_chars,
            message.limits.max_batch,
        ),
        protocol_version=message.protocol_version,
        server_version=message.server_version,
        image_codecs=tuple(ImageCodec(codec) for codec in message.image_codecs if codec in known),
    )


def _decode_spec(message: pb.GetInfoReply) -> PolicySpec:
    return PolicySpec(
        **{name: getattr(message, name) for name in _SAME},
        cameras=tuple(
            CameraSpec(cam.name, cam.steps, cam.height, cam.width, tuple(cam.delta_indices))
            for cam in message.cameras
        ),
        state=tuple(
            StateSpec(group.name, group.dim, group.steps, group.unit, tuple(group.delta_indices))
            for group in message.state
        ),
        action=tuple(
            ActionSpec(group.name, group.dim, group.representation == pb.RELATIVE, group.unit)
            for group in message.action
        ),
        max_batch=message.limits.max_batch,
        training=tuple(_decode_training(record) for record in message.training),
        latency_envelopes=tuple(
            LatencyEnvelope(
                each.task, each.switching, each.latency_ms, each.jitter_ms, each.episodes
            )
            for each in message.latency_envelopes
        ),
    )


def _decode_training(record: pb.TrainingRecord) -> TrainingRecord:
    return TrainingRecord(
        record.dataset_name,
        record.dataset_hash,
        tuple(record.train_episodes),
        tuple(record.held_out_episodes),
    )
