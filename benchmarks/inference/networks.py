"""The networks that inference is measured on: a checkpoint's own, or one of the published sizes."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from handover_model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from handover_model.device import choose_device
from handover_model.network.config import ModelConfig
from handover_model.network.eagle_config import EagleConfig
from handover_model.network.groot import Gr00tNetwork
from handover_model.policy import GrootPolicy, choose_dtype
from handover_proto.types import Observation, PolicyRequest

TASK = "Pick up the cube with the right arm and transfer it to the left arm."
PUBLISHED = ModelConfig(max_state_dim=128, max_action_dim=128, action_horizon=50)
FULL_SIZE = "random, drawn as PyTorch initializes the published sizes"


@dataclass(frozen=True)
class Subject:
    """What is measured."""

    checkpoint: Path
    """Checkpoint folder; with a horizon only its processor and tokenizer are used"""
    horizon: int | None
    """Steps of a chunk of the network of the published sizes; None for the checkpoint's own"""
    device: torch.device
    dtype: torch.dtype
    height: int
    width: int

    @property
    def weights(self) -> str:
        """Say where the weights are from."""
        return self.checkpoint.name if self.horizon is None else FULL_SIZE

    def load(self) -> Checkpoint:
        """Give the network anew: engines lay its weights anew, and compilers change its calls."""
        given = load_checkpoint(self.checkpoint, device=self.device, dtype=self.dtype)
        if self.horizon is not None:
            given = _at_full_size(given, self.horizon, self.device, self.dtype)
        given.network.requires_grad_(False)
        return given

    def request(self, policy: GrootPolicy, seed: int) -> PolicyRequest:
        """Make a request with frames of noise: nothing in the way of a frame depends on it."""
        random = np.random.default_rng(seed)
        shape = (self.height, self.width, 3)
        cameras = {
            camera.name: [random.integers(0, 256, shape, np.uint8) for _ in range(camera.steps)]
            for camera in policy.spec.cameras
        }
        state = {
            group.name: np.zeros((group.steps, group.dim), np.float32)
            for group in policy.spec.state
        }
        return PolicyRequest(Observation(cameras, state, TASK), seed=seed)


def choose_subject(
    checkpoint: Path, horizon: int | None, device: str, dtype: str, size: tuple[int, int]
) -> Subject:
    """Choose where and in which type to compute, as the server does."""
    place = choose_device(device)
    return Subject(checkpoint, horizon, place, choose_dtype(dtype, place), *size)


def count_tokens(policy: GrootPolicy, request: PolicyRequest) -> dict[str, int]:
    """Count a request's tokens by kind."""
    sample = policy.prepare(request)
    side = policy.network.eagle.pixels_per_token
    image = sum(frame.shape[0] * frame.shape[1] // side**2 for frame in sample.frames)
    return {
        "patches": image * policy.network.eagle.fold**2,
        "image": image,
        "text": len(sample.input_ids) - image,
        "action_side": policy.network.config.action_horizon + sample.state.shape[0],
    }


def _at_full_size(
    given: Checkpoint, horizon: int, device: torch.device, dtype: torch.dtype
) -> Checkpoint:
    """Put a network of the published sizes into a checkpoint, with its processor's widths."""
    config = dataclasses.replace(PUBLISHED, action_horizon=horizon)
    eagle = EagleConfig(image_token_index=given.network.eagle.image_token_index)
    processor = dataclasses.replace(
        given.processor_config,
        max_state_dim=config.max_state_dim,
        max_action_dim=config.max_action_dim,
        max_action_horizon=config.action_horizon,
        image=dataclasses.replace(given.processor_config.image, shortest_image_edge=256),
    )
    network = _draw(config, eagle, device, dtype)
    return dataclasses.replace(given, network=network, processor_config=processor)


def _draw(
    config: ModelConfig, eagle: EagleConfig, device: torch.device, dtype: torch.dtype
) -> Gr00tNetwork:
    """Build a network where it is to be, in its type: there is never a second copy of it."""
    former = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            network = Gr00tNetwork(config, eagle)
    finally:
        torch.set_default_dtype(former)
    network.backbone.model.language_model.make_frequencies(device)
    return network.eval()
