"""Spec of a checkpoint's policy: its inputs and outputs, as sent to clients."""

import torch
from handover_proto import ActionSpec, CameraSpec, PolicySpec, StateSpec

from handover_model.checkpoints.checkpoint import Checkpoint
from handover_model.engine.cuda.buckets import GPU_BATCH
from handover_model.engine.fp8.linear import FP8
from handover_model.processing.processor import Processor

POLICY_NAME = "groot"


def policy_spec(
    checkpoint: Checkpoint, processor: Processor, device: torch.device, dtype: torch.dtype
) -> PolicySpec:
    """Describe a checkpoint and an embodiment to clients."""
    metadata, codec = checkpoint.metadata, processor.codec
    video, joints = codec.modality.video, codec.modality.state
    sizes, units = metadata.camera_sizes, metadata.units
    cameras = tuple(
        CameraSpec(name, video.steps, *sizes.get(name, (0, 0)), video.delta_indices)
        for name in video.keys
    )
    state = tuple(
        StateSpec(key, codec.state_dim(key), joints.steps, units.get(key, ""), joints.delta_indices)
        for key in joints.keys
    )
    action = tuple(
        ActionSpec(key, codec.action_dim(key), codec.is_relative(key), units.get(key, ""))
        for key in codec.modality.action.keys
    )
    starts_now = codec.modality.action.delta_indices[0] == 0  # or a prefix has no place in it
    return PolicySpec(
        policy=POLICY_NAME,
        cameras=cameras,
        state=state,
        action=action,
        horizon=processor.horizon,
        rate_hz=metadata.rate_hz,
        denoising_steps=checkpoint.config.num_inference_timesteps,
        checkpoint_name=checkpoint.name,
        checkpoint_hash=checkpoint.hash(processor),
        processor_hash=checkpoint.processor_hash(processor),
        embodiment_tag=processor.tag,
        device=str(device),
        dtype=dtype_name(dtype),
        supports_seed=True,
        supports_prefix=starts_now,
        learned_delay_steps=min(metadata.max_delay_steps, processor.horizon) if starts_now else 0,
        latency_envelopes=metadata.latency_envelopes,
        max_batch=1 if device.type == "cpu" else GPU_BATCH,
        training=metadata.training,
        language_key=codec.modality.language.keys[0] if codec.modality.language.keys else "",
        first_step=max(0, codec.modality.action.delta_indices[0]),
    )


def dtype_name(dtype: torch.dtype) -> str:
    """Return a type's name for clients: float32, bfloat16 or fp8."""
    return "fp8" if dtype == FP8 else str(dtype).removeprefix("torch.")
