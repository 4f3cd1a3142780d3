"""Blending of consecutive chunks, and its weights."""

from typing import Literal

import numpy as np

# naive: the newest chunk alone, from where it should be by now
# ensemble: the mean of all chunks that cover a moment, as in ACT (Zhao et al., arXiv:2304.13705)
# crossfade: from the old chunk to the new one within FADE_S, whether or not the old one lasts
# rtc: the newest chunk alone, which the policy made to go on from the last one
# rtc_guided: the same, guided even where the policy has learnt to go on
# rtc_crossfade: rtc and crossfade
Switching = Literal["naive", "ensemble", "crossfade", "rtc", "rtc_guided", "rtc_crossfade"]
Blend = Literal["newest", "ensemble", "crossfade"]

BLENDS: dict[Switching, Blend] = {
    "naive": "newest",
    "ensemble": "ensemble",
    "crossfade": "crossfade",
    "rtc": "newest",
    "rtc_guided": "newest",
    "rtc_crossfade": "crossfade",
}

# w_i = exp(-m i), the oldest chunk's i being 0; tonyzhaozh/act, imitate_episodes.py, k
ENSEMBLE_DECAY = 0.01
FADE_S = 0.2


def sends_rest(switching: Switching) -> bool:
    """Return whether requests carry what is still to play of the last chunk."""
    return switching in ("rtc", "rtc_guided", "rtc_crossfade")


def ensemble_weights(chunks: int) -> np.ndarray:
    """Return the weights of chunks, the oldest first: (chunks,) with sum 1."""
    weights = np.exp(-ENSEMBLE_DECAY * np.arange(chunks))
    return weights / weights.sum()


def fade_out(share: float) -> float:
    """Return an old chunk's weight, 1 to 0, at a share of the fade, 0 to 1; bounded outside.

    Of all curves from rest to rest the one with the least jerk (Flash and Hogan, 1985).
    """
    u = min(1.0, max(0.0, share))
    return 1 - u**3 * (10 - 15 * u + 6 * u**2)
