"""Still beginning and end of an episode: where nothing moves, neither state nor action."""

import numpy as np

_STILL_SHARE = 0.01  # of a value's range in the episode; sensors are never quite still


def moving_span(values: np.ndarray, time_s: np.ndarray, keep_s: float) -> tuple[int, int]:
    """Return the steps [start, stop) that are left when stillness is cut down to `keep_s`.

    (L, D) values that count as motion, at (L,) times. An episode without motion is left whole.
    """
    reach = np.ptp(values, axis=0)
    moves = reach > 0
    if not moves.any():
        return 0, len(values)
    slack = _STILL_SHARE * reach[moves]
    values = values[:, moves]
    away_from_first = (np.abs(values - values[0]) > slack).any(axis=1)
    away_from_last = (np.abs(values - values[-1]) > slack).any(axis=1)
    first = int(np.argmax(away_from_first)) - 1  # the last step that is still
    last = len(values) - int(np.argmax(away_from_last[::-1]))  # the first that is still again
    start = int(np.searchsorted(time_s, time_s[max(first, 0)] - keep_s - 1e-6))
    end_s = time_s[min(last, len(values) - 1)] + keep_s + 1e-6
    stop = int(np.searchsorted(time_s, end_s, side="right"))
    return start, max(stop, start + 1)
