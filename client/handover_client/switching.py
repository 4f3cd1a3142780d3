"""How a robot goes from one chunk to the next while the policy thinks."""

from typing import Literal

# naive: the newest chunk alone, from where it should be by now
# ensemble: the mean of all chunks that cover a moment, as in ACT (Zhao et al., arXiv:2304.13705)
# rtc: the newest chunk alone, which the policy made to go on from the last one
Switching = Literal["naive", "ensemble", "rtc"]

# w_i = exp(-m i), the oldest chunk's i being 0; tonyzhaozh/act, imitate_episodes.py, k
ENSEMBLE_DECAY = 0.01


def ensemble_decay(switching: Switching) -> float | None:
    """Give what the player needs to know of a way of switching."""
    return ENSEMBLE_DECAY if switching == "ensemble" else None
