"""Layers with one set of weights per embodiment, selected for each sample."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from handover_model.network.flow_matching import action_sinusoid


class EmbodimentLinear(nn.Module):
    """A linear layer per embodiment; W is (embodiments, in, out), not transposed."""

    def __init__(self, embodiments: int, width_in: int, width_out: int) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.empty(embodiments, width_in, width_out))
        nn.init.normal_(self.W, std=0.02)
        self.b = nn.Parameter(torch.zeros(embodiments, width_out))

    def forward(self, tokens: Tensor, embodiment: Tensor) -> Tensor:
        """Transform tokens: (B, T, in), (B,) int64 -> (B, T, out)."""
        if len(self.W) == 1:  # one matrix for all samples, not a copy of it for each
            rows = torch.addmm(self.b[0], tokens.flatten(0, 1), self.W[0])
            return rows.unflatten(0, tokens.shape[:2])
        return torch.baddbmm(self.b[embodiment][:, None], tokens, self.W[embodiment])


class EmbodimentMlp(nn.Module):
    """Two linear layers per embodiment with a ReLU between: state encoder, action decoder."""

    def __init__(self, embodiments: int, width_in: int, hidden: int, width_out: int) -> None:
        super().__init__()
        self.layer1 = EmbodimentLinear(embodiments, width_in, hidden)
        self.layer2 = EmbodimentLinear(embodiments, hidden, width_out)

    def forward(self, tokens: Tensor, embodiment: Tensor) -> Tensor:
        """Transform tokens: (B, T, in), (B,) int64 -> (B, T, out)."""
        return self.layer2(functional.relu(self.layer1(tokens, embodiment)), embodiment)


class ActionEncoder(nn.Module):
    """Encodes noisy actions and the flow's timestep as one token per step of the chunk."""

    def __init__(self, embodiments: int, action_dim: int, width: int) -> None:
        super().__init__()
        self.W1 = EmbodimentLinear(embodiments, action_dim, width)
        self.W2 = EmbodimentLinear(embodiments, 2 * width, width)
        self.W3 = EmbodimentLinear(embodiments, width, width)

    def forward(self, actions: Tensor, bucket: Tensor, embodiment: Tensor) -> Tensor:
        """Encode a chunk: (B, H, A), (B, 1 or H) int64 timesteps, (B,) int64 -> (B, H, width)."""
        tokens = self.W1(actions, embodiment)
        time = action_sinusoid(bucket, tokens.shape[-1]).to(tokens.dtype)
        joined = torch.cat([tokens, time.expand_as(tokens)], dim=-1)
        return self.W3(functional.silu(self.W2(joined, embodiment)), embodiment)
