"""Changes that leave a task as it is are known beforehand, and only they."""

import dataclasses

import pytest
from handover_envs.perturbations import AXES, Axis, find_axis, unchanged
from handover_envs.tasks import find_task, task_names

STRENGTHS = (1, 2, 3)


def task_of(text: str):
    return dataclasses.replace(find_task("transfer_cube"), text=text)


def silent(axis: Axis, text: str) -> list[int]:
    return [strength for strength in STRENGTHS if unchanged(axis, strength, task_of(text))]


@pytest.mark.parametrize(
    ("text", "strengths"),
    [
        ("Fold the towel.", [2]),  # none of our synonyms
        ("fold the towel", [1, 2]),  # and neither case nor stop
        ("fold the towel.", [2]),
        ("pick up the towel", [1]),
        ("Pick up the towel.", []),
    ],
)
def test_words_that_stay_are_told(text, strengths):
    words = find_axis("instruction")
    assert silent(words, text) == strengths
    for strength in strengths:
        assert words.reword(text, strength) == text
    assert "(synonyms)" in unchanged(words, 2, task_of("Fold the towel."))


def test_every_axis_changes_every_task_of_ours():
    for name in ("transfer_cube", "insertion", "transfer_cube_left"):
        assert name in task_names()
        for axis in AXES.values():
            assert silent(axis, find_task(name).text) == []


def test_an_axis_that_changes_more_than_words_changes_something():
    class Whisper(Axis):
        name, strengths = "whisper", ("a", "b", "c")

        def reword(self, text, strength):
            return text

    class Dark(Whisper):
        def change_look(self, look, task, poses, strength, rng):
            look.headlight *= 0

    assert silent(Whisper(), "Fold the towel.") == [1, 2, 3]
    assert silent(Dark(), "Fold the towel.") == []
