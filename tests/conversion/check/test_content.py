"""What a person would see in a dataset is noted, with its episode and step; a good one has none."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handover_conversion.check.run import check_dataset

from ...groot_datasets import MadeDataset, parts

TOP = "observation.images.top"
ROOT = Path(__file__).resolve().parents[3]


class Robot(MadeDataset):
    """An arm of three joints and a gripper that move all the time, and a camera."""

    frozen_from = 10_000
    dark = False

    def frames(self, key, episode):
        frames = super().frames(key, episode)
        if self.dark:
            frames[5] = np.zeros_like(frames[5])
            frames[10] = np.zeros_like(frames[10])
        if episode == 1:
            frames = [frames[min(row, self.frozen_from)] for row in range(len(frames))]
        return frames

    def values(self, name, episode):
        time_s = np.arange(self.lengths[episode])[:, None] / self.fps
        lead = 0.25 if name == "action" else 0.0
        swing = np.sin(2 * (time_s + lead) + np.arange(4) + episode) * 0.8
        swing[:, 3] = np.abs(swing[:, 3])
        return swing.astype(np.float32)


def robot(**changes):
    made = {
        "columns": {"observation.state": (4, "float32"), "action": (4, "float32")},
        "modality": {
            "state": parts(arm=(0, 3), gripper=(3, 4)),
            "action": parts(arm=(0, 3), gripper=(3, 4)),
            "video": {"top": {"original_key": TOP}},
            "annotation": {"human.task_description": {"original_key": "task_index"}},
        },
        "cameras": {TOP: (48, 64)},
        "lengths": (60, 60, 60),
        "fps": 10,
    }
    return Robot(**(made | changes))


@pytest.fixture
def folder(tmp_path):
    return robot().make(tmp_path / "made")


def _notes(folder, *kinds):
    found = check_dataset(folder)
    assert not [one for one in found if one.severity == "fault"]
    return [one for one in found if not kinds or one.kind in kinds]


def _edit(folder, episode, **columns):
    """Change columns of an episode: name=function of (L, width)."""
    path = folder / f"data/chunk-000/episode_{episode:06d}.parquet"
    table = pq.read_table(path)
    for name, change in columns.items():
        name = {"state": "observation.state"}.get(name, name)
        place = table.schema.get_field_index(name)
        values = change(np.array(table.column(name).to_pylist(), np.float32))
        table = table.set_column(place, name, pa.array(list(values)))
    pq.write_table(table, path)


def test_a_good_dataset_has_nothing_but_its_missing_statistics(folder):
    (one,) = _notes(folder)
    assert one.kind == "statistics"
    assert "there is no meta/stats.json: a training computes them" in one.text


def test_the_shipped_recordings_have_nothing_to_note():
    assert check_dataset(ROOT / "tests/data/aloha_sim_transfer_cube") == ()


def test_episodes_with_the_same_rows_are_named(folder):
    copied = folder / "data/chunk-000/episode_000000.parquet"
    table = pq.read_table(copied)
    pq.write_table(table, folder / "data/chunk-000/episode_000002.parquet")
    (one,) = _notes(folder, "duplicated episode")
    assert (one.episode, one.text) == (2, "has the same rows as episode 0")


def test_a_still_beginning_is_told_with_its_length(folder):
    def still(values):
        values[:31] = values[31]
        return values

    _edit(folder, 1, state=still, action=still)
    (one,) = _notes(folder, "idle")
    assert (one.episode, one.step) == (1, 0)
    assert one.text in ("nothing moves in the first 3.1 s", "nothing moves in 52% of the steps")


def test_an_idle_episode_is_told_with_its_share(folder):
    def still(values):
        values[20:] = values[20]
        return values

    _edit(folder, 2, state=still, action=still)
    (one,) = _notes(folder, "idle")
    assert (one.episode, one.step) == (2, 20)
    assert one.text == "nothing moves in 67% of the steps"


def test_a_joint_that_jumps_is_told_where_it_does(folder):
    def jump(values):
        values[40:, 1] += 1.5
        return values

    _edit(folder, 1, state=jump)
    (one,) = _notes(folder, "jump")
    assert (one.episode, one.step) == (1, 40)
    assert one.text.startswith("state arm [1] jumps from ")


def test_an_angle_that_wraps_is_told_as_such(folder):
    def wrap(values):
        values[:, 0] = (np.linspace(2, 4.5, len(values)) + np.pi) % (2 * np.pi) - np.pi
        return values

    for episode in range(3):
        _edit(folder, episode, state=wrap)
    found = _notes(folder, "jump")
    assert [(one.episode, one.step) for one in found] == [(0, 27), (1, 27), (2, 27)]
    assert all(one.text.endswith("a whole turn: an angle that wraps") for one in found)


def test_an_action_that_equals_the_state_is_told(folder):
    path = folder / "data/chunk-000/episode_000001.parquet"
    state = np.array(pq.read_table(path).column("observation.state").to_pylist(), np.float32)
    _edit(folder, 1, action=lambda _: state)
    (one,) = _notes(folder, "action")
    assert one.episode == 1
    assert one.text == "action arm equals the state of the same step: it commands nothing"


def test_an_action_that_lags_is_told_with_its_steps(folder):
    path = folder / "data/chunk-000/episode_000002.parquet"
    state = np.array(pq.read_table(path).column("observation.state").to_pylist(), np.float32)
    late = np.concatenate([state[:1], state[:1], state[:1], state[:-3]])
    _edit(folder, 2, action=lambda _: late)
    (one,) = _notes(folder, "action")
    assert (one.episode, one.text) == (2, "action arm follows the state 3 steps later: it lags")


def test_values_at_the_end_of_their_range_are_told(folder):
    def clip(values):
        values[:, 2] = np.minimum(values[:, 2], 0.4)
        return values

    for episode in range(3):
        _edit(folder, episode, action=clip)
    (one,) = _notes(folder, "saturated")
    assert one.text.startswith("action arm [2] is at its highest value, 0.4, in ")
    assert one.episode == 0


def test_degrees_and_metres_are_noticed(folder):
    def degrees(values):
        values[:, :3] *= 90
        values[:, 3] *= 0.05
        return values

    for episode in range(3):
        _edit(folder, episode, state=degrees, action=degrees)
    found = _notes(folder, "unit")
    assert len(found) == 4
    told = " ".join(one.text for one in found)
    for what in (
        *("state arm reaches 7", ": no angles in rad; degrees?", "action arm reaches 7"),
        *("state gripper never exceeds 0.04: not 0 closed … 1 open; metres?", "action gripper"),
    ):
        assert what in told


def test_a_rare_task_is_named_with_its_episode(tmp_path):
    made = robot(
        lengths=(20,) * 6,
        tasks=("Pick up the cube.", "Fly."),
        indices={"task_index": lambda episode, row: int(episode == 4)},
    )
    (one,) = _notes(made.make(tmp_path / "made"), "rare task")
    assert (one.episode, one.step, one.text) == (4, 0, "'Fly.' is in 1 of 6 episodes")


def test_black_frames_are_told(tmp_path):
    made = robot()
    made.dark = True
    found = _notes(made.make(tmp_path / "made"), "black frames")
    assert [(one.episode, one.step) for one in found] == [(0, 5), (1, 5), (2, 5)]
    assert "top: 2 of 12 frames that were looked at are black" in found[0].text


def test_a_frozen_camera_is_told_while_the_robot_moves(tmp_path):
    made = robot()
    made.frozen_from = 20
    (one,) = _notes(made.make(tmp_path / "made"), "frozen frames")
    assert (one.episode, one.step) == (1, 20)
    assert one.text == "top: the picture stands still for 3.5 s of motion"


def test_a_camera_may_stand_still_while_the_robot_does(tmp_path):
    made = robot()
    made.frozen_from = 20
    folder = made.make(tmp_path / "made")

    def still(values):
        values[20:] = values[20]
        return values

    _edit(folder, 1, state=still)
    assert _notes(folder, "frozen frames") == []
