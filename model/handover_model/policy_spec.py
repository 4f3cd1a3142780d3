"""What a checkpoint's policy needs and gives, as clients are told it."""

import numpy as np
import torch
from handover_proto import (
    ActionSpec,
    CameraSpec,
    Observation,
    PolicyRequest,
    PolicySpec,
    StateSpec,
)

from handover_model.checkpoints.checkpoint import Checkpoint
from handover_model.processing.processor import Processor

POLICY_NAME = "groot"
GPU_BATCH = 16
PROBE_SIDE = 256  # pixels, where the checkpoint does not say what cameras it was made for


def policy_spec(
    checkpoint: Checkpoint, processor: Processor, device: torch.device, dtype: torch.dtype
) -> PolicySpec:
    """Describe a checkpoint and an embodiment to clients."""
    notes, codec = checkpoint.notes, processor.codec
    modality = codec.modality
    video, told = modality.video, modality.state
    cameras = tuple(
        CameraSpec(name, video.steps, *notes.camera_sizes.get(name, (0, 0)), video.delta_indices)
        for name in video.keys
    )
    state = tuple(
        StateSpec(
            key, codec.state_dim(key), told.steps, notes.units.get(key, ""), told.delta_indices
        )
        for key in told.keys
    )
    action = tuple(
        ActionSpec(key, codec.action_dim(key), codec.is_relative(key), notes.units.get(key, ""))
        for key in modality.action.keys
    )
    return PolicySpec(
        policy=POLICY_NAME,
        cameras=cameras,
        state=state,
        action=action,
        horizon=processor.horizon,
        rate_hz=notes.rate_hz,
        denoising_steps=checkpoint.config.num_inference_timesteps,
        checkpoint_name=checkpoint.name,
        checkpoint_hash=checkpoint.weights_hash(),
        processor_hash=checkpoint.processor_hash(),
        embodiment_tag=processor.tag,
        device=str(device),
        dtype=str(dtype).removeprefix("torch."),
        supports_seed=True,
        supports_prefix=True,
        max_batch=1 if device.type == "cpu" else GPU_BATCH,
        training=notes.training,
    )


def probe_request(spec: PolicySpec) -> PolicyRequest:
    """Make a request that fits a spec: a grey image of the size that cameras have, a zero state."""
    size = [(camera.height or PROBE_SIDE, camera.width or PROBE_SIDE) for camera in spec.cameras]
    cameras = {
        camera.name: [np.full((*shape, 3), 128, np.uint8)] * camera.steps
        for camera, shape in zip(spec.cameras, size, strict=True)
    }
    state = {group.name: np.zeros((group.steps, group.dim), np.float32) for group in spec.state}
    return PolicyRequest(Observation(cameras, state, "stand still"), seed=0)
