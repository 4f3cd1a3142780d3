"""What a replay says of several trajectories together, worked out by hand."""

import numpy as np
import pytest
from handover_client.replay.action_groups import ActionGroup
from handover_client.replay.baselines import HOLD
from handover_client.replay.evaluation import (
    POLICY,
    Evaluation,
    difficulty_groups,
    error_in_chunk,
    error_over_time,
    evaluate,
)
from handover_client.replay.replayer import Trajectory

# the headline is about the first two columns of three
PARTS = (
    ActionGroup("pair", "two values", (0, 1), ("a", "b")),
    ActionGroup("last", "one value", (2,), ("c",)),
)


def replayed(episode: int, errors: list[tuple[float, float]], **baselines) -> Trajectory:
    """A trajectory whose policy is off by these in the headline's columns, and by 9 in the last."""
    demonstrated = np.full((len(errors), 3), 2.0, np.float32)
    predicted = demonstrated + np.array([[*pair, 9.0] for pair in errors], np.float32)
    return Trajectory(episode, "", demonstrated, predicted, baselines, (0,), (0,), ())


def evaluated(*trajectories: Trajectory) -> Evaluation:
    return evaluate(trajectories, PARTS)


def test_every_part_is_scored_by_its_own_columns():
    evaluation = evaluated(replayed(0, [(0.5, 1.5)]))
    assert evaluation.of(POLICY, "pair")[0].mse == pytest.approx((0.25 + 2.25) / 2)
    assert evaluation.of(POLICY, "last")[0].mse == pytest.approx(81)


def test_the_error_over_time_is_averaged_over_the_trajectories_that_have_the_step():
    evaluation = evaluated(replayed(0, [(1, 0), (2, 0), (3, 1)]), replayed(1, [(3, 3)]))
    # mean squares by step: 1/2, 2, 5 and 9
    assert error_over_time(evaluation) == {POLICY: pytest.approx([(0.5 + 9) / 2, 2, 5])}


def test_the_error_within_a_chunk_is_averaged_by_the_place_in_the_chunk():
    evaluation = evaluated(replayed(0, [(1, 0), (2, 0), (3, 1)]), replayed(1, [(3, 3)]))
    # chunks of two steps: places 0 1 0, and 0
    assert error_in_chunk(evaluation, 2) == pytest.approx([(0.5 + 5 + 9) / 3, 2])
    assert error_in_chunk(evaluation, 16) == pytest.approx([(0.5 + 9) / 2, 2, 5])


def test_a_baseline_has_figures_where_every_trajectory_has_it():
    held = np.full((2, 3), 5.0, np.float32)  # 3 off everywhere
    first = replayed(0, [(0, 0), (0, 0)], **{HOLD: held})
    without = replayed(1, [(0, 0)])
    assert error_over_time(evaluated(first)) == {POLICY: [0, 0], HOLD: [9, 9]}
    assert evaluated(first, without).pooled(HOLD, "pair") is None
    assert error_over_time(evaluated(first, without)) == {POLICY: [0, 0]}


def test_trajectories_are_grouped_by_the_headlines_error():
    # errors 3, 1, 2, 0 and 4: 5 trajectories are 2, 2 and 1
    evaluation = evaluated(*(replayed(k, [(off, 0)]) for k, off in enumerate((3, 1, 2, 0, 4))))
    expected = {"easiest": [3, 1], "average": [2, 0], "hardest": [4]}
    assert difficulty_groups(evaluation) == expected
    assert difficulty_groups(evaluated(*evaluation.trajectories[:2])) == {}
    three = evaluated(*evaluation.trajectories[:3])
    assert difficulty_groups(three) == {"easiest": [1], "average": [2], "hardest": [0]}
