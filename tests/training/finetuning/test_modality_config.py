"""Modality config files: what is understood, what is refused, and that nothing runs."""

import json
from pathlib import Path

import pytest
from handover_model.errors import ModalityError
from handover_model.processing.aloha import aloha_modality
from handover_model.processing.modality import ActionRep, modality_config_json
from handover_training.finetuning.modality_config import read_modality_file

NVIDIA_STYLE = '''
"""A robot of one's own."""
from gr00t.configs.data.embodiment_configs import register_modality_config
from gr00t.data.types import ActionConfig, ActionFormat, ActionRepresentation, ActionType
from gr00t.data.types import EmbodimentTag, ModalityConfig

so100_config = {
    "video": ModalityConfig(delta_indices=[-1, 0], modality_keys=["front", "wrist"]),
    "state": ModalityConfig(delta_indices=[0], modality_keys=["arm", "gripper"]),
    "action": ModalityConfig(
        delta_indices=list(range(0, 8)),
        modality_keys=["arm", "gripper"],
        action_configs=[
            ActionConfig(
                rep=ActionRepresentation.RELATIVE,
                type=ActionType.NON_EEF,
                format=ActionFormat.DEFAULT,
            ),
            ActionConfig(
                rep=ActionRepresentation.ABSOLUTE,
                type=ActionType.NON_EEF,
                format=ActionFormat.DEFAULT,
            ),
        ],
    ),
    "language": ModalityConfig(delta_indices=[0], modality_keys=["task"]),
}
register_modality_config(so100_config, embodiment_tag=EmbodimentTag.NEW_EMBODIMENT)
'''


@pytest.fixture
def write(tmp_path):
    def written(text, name="config.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return written


def test_the_recipes_file_is_alohas_layout():
    file = Path(__file__).parents[3] / "training/recipes/gr1_modality_config.py"
    assert read_modality_file(file, "gr1") == aloha_modality(16)


def test_a_file_in_nvidias_style_is_read_without_gr00t(write):
    config = read_modality_file(write(NVIDIA_STYLE), "new_embodiment")
    assert config.video.keys == ("front", "wrist")
    assert config.video.delta_indices == (-1, 0)
    assert config.action.steps == 8
    assert config.relative_keys() == ("arm",)
    assert config.action_config("gripper").rep is ActionRep.ABSOLUTE


def test_a_table_for_another_tag_is_refused(write):
    with pytest.raises(ModalityError, match=r"new_embodiment.*'gr1'"):
        read_modality_file(write(NVIDIA_STYLE), "gr1")


@pytest.mark.parametrize(
    "line",
    [
        "import os; os.system('touch {}')",
        "MODALITY_CONFIG = open('{}', 'w')",
        "MODALITY_CONFIG = __import__('pathlib').Path('{}').touch()",
        "MODALITY_CONFIG = [open('{}', 'w') for _ in [0]]",
        "def f(): open('{}', 'w')\nf()",
        "register_modality_config(open('{}', 'w'))",
        "class A:\n    open('{}', 'w')",
    ],
)
def test_nothing_in_a_file_is_executed(write, tmp_path, line):
    trap = tmp_path / "trap"
    with pytest.raises(ModalityError):
        read_modality_file(write(line.format(trap)), "gr1")
    assert not trap.exists()


def test_an_error_names_file_line_and_what_stands_there(write):
    path = write("A = 1\nB = A + 1\n")
    with pytest.raises(ModalityError, match=r"config\.py, line 2: .*'A \+ 1'"):
        read_modality_file(path, "gr1")


def test_json_is_read_too_by_itself_or_from_a_checkpoint(write):
    table = modality_config_json(aloha_modality(16))
    alone = write(json.dumps(table), "alone.json")
    whole = {"processor_kwargs": {"modality_configs": {"gr1": table}}}
    inside = write(json.dumps(whole), "processor_config.json")
    assert read_modality_file(alone, "gr1") == read_modality_file(inside, "gr1")
    with pytest.raises(ModalityError, match="it has gr1"):
        read_modality_file(inside, "libero_panda")
    with pytest.raises(ModalityError, match="JSON"):
        read_modality_file(write("[1, 2]", "list.json"), "gr1")
