"""Open-loop errors by hand-computed numbers."""

import numpy as np
from handover_training.data.windows import WindowTable
from handover_training.loop.validation import ErrorSums, compare, evaluation_rows

from ..data.test_windows import MODALITY, recording


def test_chunks_begin_at_every_horizonth_row_to_the_episodes_end():
    table = WindowTable([recording(9), recording(4, index=7)], MODALITY)
    assert evaluation_rows(table) == [(0, 0), (0, 4), (0, 8), (1, 0)]


def test_errors_are_measured_against_the_recorded_actions_within_the_episode():
    window = WindowTable([recording(5)], MODALITY).window(0, 3)  # actions 103 and 104, then none
    sums = compare({"arm": np.array([[104], [101], [0], [0]], np.float32)}, window)
    assert sums == ErrorSums(squared=1 + 9, absolute=1 + 3, count=2)
    assert sums.metrics() == {"open_loop_mse": 5, "open_loop_mae": 2}
    assert (sums + sums).metrics() == sums.metrics()
