"""Snapshot files are read without MuJoCo and written without torch."""

import subprocess
import sys

import numpy as np
import pytest
from handover_envs.tasks import find_task
from handover_training.aloha_mini.data.snapshots import (
    TASK_ORDER,
    TASK_TEXTS,
    load_snapshots,
    snapshot_files,
    task_of,
)
from handover_training.errors import TrainingError


def test_the_module_loads_neither_mujoco_nor_torch():
    program = (
        "import sys, handover_training.aloha_mini.data.snapshots\n"
        "print([name for name in ('mujoco', 'dm_control', 'torch') if name in sys.modules])"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    assert done.stdout.strip() == "[]"


def test_the_tasks_sentences_are_the_simulators():
    assert [task_of(seed) for seed in (4, 5)] == ["transfer_cube", "insertion"] == list(TASK_ORDER)
    assert [find_task(task).text for task in TASK_ORDER] == list(TASK_TEXTS)


def test_objects_of_the_other_task_are_nowhere(tmp_path):
    np.savez(
        tmp_path / "7.npz",
        task=np.array(1),
        frames=np.zeros((2, 8, 8, 3), np.uint8),
        poses=np.arange(28, dtype=np.float32).reshape(2, 2, 7),
    )
    (path,) = snapshot_files([tmp_path])
    read = load_snapshots(path, lambda frame: frame[::2, ::2])
    assert read.frames.shape == (2, 4, 4, 3)
    assert np.isnan(read.places[:, 0]).all()
    np.testing.assert_array_equal(read.places[0, 1:], [[0, 1, 2], [7, 8, 9]])
    assert read.seeds.tolist() == [7, 7]


def test_a_folder_without_snapshots_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="aloha_mini snapshots --output"):
        snapshot_files([tmp_path])
