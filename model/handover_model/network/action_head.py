"""Action head: from the backbone's features and the robot's state to a chunk of actions.

Each embodiment has its own state encoder, action encoder and action decoder around one shared
diffusion transformer. A chunk is denoised from noise in a few Euler steps along its velocity.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from handover_model.network.backbone import BackboneOutput
from handover_model.network.config import ModelConfig
from handover_model.network.dit import Dit, Memory
from handover_model.network.embodiment_layers import ActionEncoder, EmbodimentMlp
from handover_model.network.flow_matching import FlowDraw, clean_steps, flow_point
from handover_model.network.real_time_chunking import (
    CleanPrefix,
    Prefix,
    choose_sampler,
)

MASK_TOKEN_SCALE = 0.02  # spread of a new mask token, if a checkpoint has none
MASK_SUM_FLOOR = 1e-6


@dataclass(frozen=True)
class FlowLoss:
    """The training objective on one batch."""

    loss: Tensor
    """() float32: masked squared error of the velocity, one ratio over the whole batch"""
    errors: Tensor
    """(B, horizon, action dim) float32: squared errors, 0 where the mask is 0"""


class ActionHead(nn.Module):
    """Everything after the backbone. Submodule names are the keys of the published weights."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        embodiments, width = config.max_num_embodiments, config.input_embedding_dim
        features, hidden = config.backbone_embedding_dim, config.hidden_size
        alternates = config.use_alternate_vl_dit
        period = config.attend_text_every_n_blocks if alternates else None
        self.model = Dit(config.diffusion_model_cfg, features, period)
        self.state_encoder = EmbodimentMlp(embodiments, config.max_state_dim, hidden, width)
        self.action_encoder = ActionEncoder(embodiments, config.max_action_dim, width)
        self.action_decoder = EmbodimentMlp(embodiments, hidden, hidden, config.max_action_dim)
        self.vlln = nn.LayerNorm(features) if config.use_vlln else nn.Identity()
        if config.add_pos_embed:
            self.position_embedding = nn.Embedding(config.max_seq_len, width)
        if config.state_dropout_prob > 0:
            self.mask_token = nn.Parameter(MASK_TOKEN_SCALE * torch.randn(1, 1, width))

    @property
    def dtype(self) -> torch.dtype:
        """The type in which the head computes."""
        return self.action_encoder.W1.W.dtype

    def encode_state(self, state: Tensor, embodiment: Tensor) -> Tensor:
        """Encode states as tokens: (B, T, max_state_dim), (B,) int64 -> (B, T, width)."""
        return self.state_encoder(state.to(self.dtype), embodiment)

    def remember(self, backbone: BackboneOutput) -> list[Memory | None]:
        """Project the features for every block, once for all denoising steps."""
        return self.model.remember(self.vlln(backbone.features.to(self.dtype)), backbone)

    def velocity(
        self,
        actions: Tensor,
        bucket: Tensor,
        state_tokens: Tensor,
        embodiment: Tensor,
        memories: list[Memory | None],
        clean: Tensor | None = None,
    ) -> Tensor:
        """Predict the velocity of noisy actions: (B, H, A), (B,) int64 -> (B, H, A).

        clean: (B, H) bool, steps whose actions are without noise; they get a timestep of their own.
        """
        buckets = bucket[:, None]
        times, is_clean = buckets, None
        if clean is not None:
            last = torch.full_like(buckets, self.clean_bucket)
            times = torch.where(clean, last, buckets)
            buckets = torch.cat([buckets, last], dim=1)
            is_clean = functional.pad(clean, (state_tokens.shape[1], 0))
        tokens = self.action_encoder(actions.to(self.dtype), times, embodiment)
        if self.config.add_pos_embed:
            tokens = tokens + self.position_embedding.weight[: tokens.shape[1]]
        joined = torch.cat([state_tokens, tokens], dim=1)
        output = self.model(joined, buckets, memories, is_clean)
        return self.action_decoder(output, embodiment)[:, -actions.shape[1] :]

    def generate(
        self,
        backbone: BackboneOutput,
        state: Tensor,
        embodiment: Tensor,
        noise: Tensor,
        prefix: Prefix | None = None,
    ) -> Tensor:
        """Denoise a chunk: noise (B, H, A) -> actions (B, H, A) float32 in normalized units.

        With a prefix the chunks continue it; with a PrefixGuide not in inference mode (see
        `sample_guided`).
        """
        memories = self.remember(backbone)
        state_tokens = self.encode_state(state, embodiment)

        def velocity(actions: Tensor, step: int) -> Tensor:
            bucket = torch.full_like(embodiment, self.bucket(step))
            return self.velocity(actions, bucket, state_tokens, embodiment, memories, clean)

        steps = self.config.num_inference_timesteps
        clean = prefix.clean if isinstance(prefix, CleanPrefix) else None
        return choose_sampler(prefix)(velocity, noise, steps)

    def loss(
        self,
        backbone: BackboneOutput,
        state: Tensor,
        embodiment: Tensor,
        action: Tensor,
        action_mask: Tensor,
        draw: FlowDraw,
    ) -> FlowLoss:
        """Return the loss of the velocity at a random point of the flow to `action`.

        action, action_mask: (B, horizon, max_action_dim); the mask is 1 where actions are real.
        Steps that the draw gives clean are no part of the loss.
        """
        point = flow_point(action, draw.noise, draw.time, self.config.num_timestep_buckets)
        state_tokens = self._disturb(self.encode_state(state, embodiment), draw)
        memories = self.remember(backbone)
        noisy, mask, clean = point.noisy, action_mask.float(), None
        if draw.delay is not None:
            clean = clean_steps(draw.delay, action.shape[1])
            noisy = torch.where(clean[..., None], action.float(), noisy)
            mask = mask * ~clean[..., None]
        velocity = self.velocity(noisy, point.bucket, state_tokens, embodiment, memories, clean)
        errors = (velocity.float() - point.velocity).square() * mask
        return FlowLoss(errors.sum() / (mask.sum() + MASK_SUM_FLOOR), errors)

    def _disturb(self, state_tokens: Tensor, draw: FlowDraw) -> Tensor:
        """Drop state tokens or add noise, so that the policy does not learn to copy its state."""
        if self.config.state_dropout_prob > 0:
            mask_token = self.mask_token.to(state_tokens.dtype)
            state_tokens = torch.where(draw.drops_state[:, None, None], mask_token, state_tokens)
        if draw.state_noise is not None:
            state_tokens = state_tokens + draw.state_noise.to(state_tokens.dtype)
        return state_tokens

    @property
    def clean_bucket(self) -> int:
        """The timestep of actions without noise: the flow's end, which its draws never reach."""
        return self.config.num_timestep_buckets

    def bucket(self, step: int) -> int:
        """Return a denoising step's time as the network's bucket."""
        config = self.config
        return int(step / config.num_inference_timesteps * config.num_timestep_buckets)
