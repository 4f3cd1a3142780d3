"""Windows and batches, by hand-computed numbers and by what must always hold."""

import dataclasses

import numpy as np
import pytest
from handover_common.errors import UsageError
from handover_model.processing.modality import Modality, ModalityConfig
from handover_training.data.episodes import EpisodeRows, divide
from handover_training.data.sampler import BatchPlan, Mixture, ProcessBatches, generator
from handover_training.data.windows import WindowTable
from hypothesis import given
from hypothesis import strategies as st

MODALITY = ModalityConfig(
    video=Modality(("front",), (-2, 0)),
    state=Modality(("arm",), (-1, 0)),
    action=Modality(("arm",), (0, 1, 2, 3)),
    language=Modality(("task",)),
)


def recording(length, index=0, modality=MODALITY):
    rows = np.arange(length, dtype=np.float32)[:, None]
    tasks = ("first",) * (length // 2) + ("second",) * (length - length // 2)
    return EpisodeRows(0, index, {"arm": rows}, {"arm": rows + 100}, tasks, modality)


@pytest.fixture
def table():
    return WindowTable([recording(5), recording(3, index=7)])


def test_every_row_of_every_episode_starts_a_window(table):
    assert len(table) == 8
    assert [table.locate(number) for number in (0, 4, 5, 7)] == [(0, 0), (0, 4), (1, 0), (1, 2)]


def test_a_window_in_the_middle_holds_the_rows_around_it(table):
    window = table[1]
    assert window.frame_rows == (0, 1)
    assert window.state["arm"].ravel().tolist() == [0, 1]
    assert window.action["arm"].ravel().tolist() == [101, 102, 103, 104]
    assert window.real_steps.all()
    assert window.task == "first"


def test_frames_and_states_are_of_their_own_rows_and_stay_within_the_episode():
    ahead = dataclasses.replace(MODALITY, state=Modality(("arm",), (0, 1)))
    table = WindowTable([recording(5, modality=ahead), recording(3, index=7, modality=ahead)])
    assert [table[number].frame_rows for number in (0, 3, 6)] == [(0, 0), (1, 3), (0, 1)]
    assert [table[number].state["arm"].ravel().tolist() for number in (3, 4)] == [[3, 4], [4, 4]]


def test_the_end_of_an_episode_is_padded_and_masked_not_dropped(table):
    window = table[4]
    assert window.action["arm"].ravel().tolist() == [104, 104, 104, 104]
    assert window.real_steps.tolist() == [True, False, False, False]
    assert table.real_mask(4).tolist() == [True, False, False, False]
    assert table[5].action["arm"][0] == 100, "the next episode starts by itself"
    assert window.task == "second"


@given(
    windows=st.integers(1, 40),
    world=st.integers(1, 3),
    accumulation=st.integers(1, 3),
    batch=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_processes_share_the_same_global_batch_whatever_their_number(
    windows, world, accumulation, batch, seed
):
    steps, size = 3, batch * world * accumulation
    plan = BatchPlan(windows, size, seed)
    shares = [
        [
            slot
            for micro in ProcessBatches(
                plan, batch=batch, accumulation=accumulation, rank=rank, world=world, steps=steps
            )
            for slot in micro
        ]
        for rank in range(world)
    ]
    together = sorted((slot.step, slot.slot, slot.window) for share in shares for slot in share)
    alone = [(slot.step, slot.slot, slot.window) for step in range(3) for slot in plan.step(step)]
    assert together == alone
    assert len(together) == steps * size


@given(windows=st.integers(1, 50), batch=st.integers(1, 7), seed=st.integers(0, 1000))
def test_each_pass_trains_on_every_window_once(windows, batch, seed):
    plan = BatchPlan(windows, batch, seed)
    steps = -(-2 * windows // batch)
    order = [slot.window for step in range(steps) for slot in plan.step(step)]
    assert sorted(order[:windows]) == list(range(windows))
    assert sorted(order[windows : 2 * windows]) == list(range(windows))


def test_a_mixture_draws_by_share_whatever_the_datasets_sizes():
    plan = BatchPlan(1010, 64, 0, Mixture((0.75, 0.25), (10, 1000)))
    windows = [slot.window for step in range(50) for slot in plan.step(step)]
    small = sum(window < 10 for window in windows) / len(windows)
    assert 0.72 < small < 0.78
    assert set(windows) >= set(range(10))
    assert max(windows) < 1010
    assert plan.step(7) == BatchPlan(1010, 64, 0, Mixture((0.75, 0.25), (10, 1000))).step(7)


def test_a_resumed_run_starts_where_it_stopped_and_keeps_its_length():
    plan = BatchPlan(10, 4, 0)
    batches = ProcessBatches(plan, batch=2, accumulation=2, rank=0, world=1, steps=5)
    whole = list(batches)
    batches.start = 3
    assert list(batches) == whole[6:]
    assert len(batches) == 10


def test_random_numbers_depend_on_purpose_and_place_alone():
    one = generator(1, 2, 3, 4).random(3)
    np.testing.assert_array_equal(one, generator(1, 2, 3, 4).random(3))
    for other in ((1, 2, 3, 5), (1, 2, 4, 3), (1, 3, 3, 4), (2, 2, 3, 4)):
        assert (generator(*other).random(3) != one).all()


def test_a_tenth_is_held_out_and_the_same_for_the_same_seed():
    episodes = list(range(0, 60, 2))
    train, kept = divide(episodes, None, 5)
    assert len(kept) == 3
    assert sorted(train + kept) == episodes
    assert (train, kept) == divide(episodes, None, 5)
    assert divide(episodes, 0, 5) == (tuple(episodes), ())
    assert len(divide([4, 9], None, 0)[1]) == 1
    assert divide([4], None, 0) == ((4,), ())
    with pytest.raises(UsageError, match="leaves none to train on"):
        divide(episodes, 30, 5)
