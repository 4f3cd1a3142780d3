"""Dropout with masks that depend on the seed, the step and the sample alone.

torch's own draws from one stream per process, so its masks change with the number of processes and
with everything drawn before. Here a mask is a hash of where it applies: resumed runs, recomputed
activations and any number of processes see the same mask, and no state needs saving.
"""

import torch
from torch import Tensor, nn

# multipliers of a 32-bit integer hash with low bias: "lowbias32", Chris Wellons, hash-prospector
FIRST_FACTOR, SECOND_FACTOR = 0x7FEB352D, -0x7B935975  # 0x846ca68b as a signed 32-bit number
SPREAD = -0x61C88647  # 2**32 / golden ratio, signed: sets neighbouring elements apart
RANDOM_BITS = 24


class SampleKeys:
    """The current batch's keys, set before each forward pass and read by every dropout."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        """(B,) int32, or None: no dropout"""


class SampleDropout(nn.Module):
    """Zeroes a fraction of each sample's numbers in training, and scales up the rest."""

    def __init__(self, share: float, place: int, keys: SampleKeys) -> None:
        """place: this layer's number, so that no two layers have the same masks."""
        super().__init__()
        self.share, self.place, self._keys = share, place, keys

    def forward(self, values: Tensor) -> Tensor:
        """Drop: (B, ...) -> the same shape; the input itself outside of training."""
        if not self.training or self.share == 0 or self._keys.keys is None:
            return values
        kept = _random_bits(self._keys.keys, self.place, values[0].numel())
        kept = kept >= round(self.share * (1 << RANDOM_BITS))
        scale = 1 / (1 - self.share)
        return values * kept.view(values.shape).to(values.dtype).mul_(scale)


def use_sample_dropout(network: nn.Module, keys: SampleKeys) -> int:
    """Replace torch's dropouts in a network; returns how many there were."""
    found = [name for name, module in network.named_modules() if isinstance(module, nn.Dropout)]
    for place, name in enumerate(found):
        owner, _, attribute = name.rpartition(".")
        dropout = network.get_submodule(name)
        assert isinstance(dropout, nn.Dropout)
        setattr(network.get_submodule(owner), attribute, SampleDropout(dropout.p, place, keys))
    return len(found)


def _random_bits(keys: Tensor, place: int, count: int) -> Tensor:
    """Hash each sample's key with a layer's and an element's number: (B, count) int32, 24 bits."""
    elements = torch.arange(count, dtype=torch.int32, device=keys.device).mul_(SPREAD)
    layer = _mix(torch.full_like(keys, place + 1).mul_(SPREAD).bitwise_xor_(keys))
    return _mix(elements[None] + layer[:, None]).bitwise_and_((1 << RANDOM_BITS) - 1)


def _mix(values: Tensor) -> Tensor:
    """Scramble int32 numbers in place; products wrap around."""
    values.bitwise_xor_((values >> 16).bitwise_and_(0xFFFF)).mul_(FIRST_FACTOR)
    values.bitwise_xor_((values >> 15).bitwise_and_(0x1FFFF)).mul_(SECOND_FACTOR)
    return values.bitwise_xor_((values >> 16).bitwise_and_(0xFFFF))
