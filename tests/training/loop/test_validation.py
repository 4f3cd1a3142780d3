"""Open-loop errors by hand-computed numbers."""

import numpy as np
from handover_training.data.episodes import EpisodeRows
from handover_training.data.windows import WindowTable
from handover_training.loop.validation import compare, critical_rows, evaluation_rows

from ..data.test_state_noise import codec
from ..data.test_windows import recording


def test_chunks_begin_at_every_horizonth_row_to_the_episodes_end():
    table = WindowTable([recording(9), recording(4, index=7)])
    assert evaluation_rows(table) == [(0, 0), (0, 4), (0, 8), (1, 0)]


def test_errors_are_measured_against_the_recorded_actions_within_the_episode():
    window = WindowTable([recording(5)]).window(0, 3)  # actions 103 and 104, then none
    sums = compare({"arm": np.array([[104], [101], [0], [0]], np.float32)}, window)
    assert (sums.squared, sums.absolute, sums.count, sums.accurate) == (1 + 9, 1 + 3, 2, 0)
    assert sums.metrics() == {
        "open_loop_mse": 5,
        "open_loop_mae": 2,
        "open_loop_accuracy": 0,
    }
    assert (sums + sums).metrics() == sums.metrics()


def test_critical_steps_are_measured_apart():
    window = WindowTable([recording(5)]).window(0, 1)  # actions 101 to 104
    chunk = {"arm": np.array([[101.05], [102], [106], [104]], np.float32)}
    sums = compare(chunk, window, np.array([False, False, True, True]))
    assert sums.metrics()["open_loop_critical_mse"] == (3**2 + 0) / 2
    assert sums.metrics()["open_loop_accuracy"] == 3 / 4


def test_steps_around_a_grippers_moves_are_critical():
    modality = codec().modality
    grip = np.zeros((40, 1), np.float32)
    grip[20:] = 1.0  # it opens from row 19 to row 20
    grip[30:] += 0.005  # a tremor of half a percent
    arm = np.arange(80, dtype=np.float32).reshape(40, 2)
    episode = EpisodeRows(0, 0, {}, {"arm": arm, "gripper": grip}, ("go",) * 40, modality)
    assert np.flatnonzero(critical_rows(episode)).tolist() == list(range(15, 26))
    still = EpisodeRows(0, 0, {}, {"arm": arm, "gripper": grip * 0}, ("go",) * 40, modality)
    assert not critical_rows(still).any()
