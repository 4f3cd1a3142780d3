"""The small checkpoint's recipe, from its first to its last line with tiny numbers, twice."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mujoco", reason="needs the extra 'sim'")

RECIPE = Path(__file__).resolve().parents[2] / "training/recipes/aloha_mini.sh"
TINY = {
    "MAKE_BASE": "1",
    "TRANSFERS": "2",
    "INSERTIONS": "2",
    "SNAPSHOTS": "14",  # of every twelve episodes two are held out
    "ON_THE_WAY": "4",
    "LOOSE": "2",
    "VISION_STEPS": "2",
    "STEPS": "2",
    "CORRECTED_TRANSFERS": "1",
    "CORRECTED_INSERTIONS": "1",
    "HELD_OUT": "0",
    "MORE_STEPS": "2",
    "AGAIN_TRANSFERS": "1",
    "AGAIN_INSERTIONS": "1",
    "LAST_STEPS": "2",
    "SAVE_STEPS": "2",
    "BATCH": "4",
    "ROLLOUTS": "1",
}


@pytest.mark.sim
@pytest.mark.slow
@pytest.mark.timeout(1900)
def test_the_recipe_runs_from_nothing_to_a_checkpoint_and_can_be_run_again(server_bin, tmp_path):
    first = run_recipe(server_bin, tmp_path)
    record = json.loads((first / "training_record.json").read_text())
    names = [one["dataset_name"] for one in record["trained_on"]]
    assert names[:2] == ["groot_transfer_cube", "groot_insertion"]
    card = (first / "README.md").read_text()
    assert "| transfer_cube | 1 |" in card
    assert "| insertion | 1 |" in card
    weights = (first / "model.safetensors").read_bytes()
    again = run_recipe(server_bin, tmp_path)  # nothing is left to do
    assert (again / "model.safetensors").read_bytes() == weights


def run_recipe(server_bin: Path, folder: Path) -> Path:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        **TINY,
        "SIM": sys.executable,
        "SERVER": str(server_bin / "python"),
        "PORT": str(port),
    }
    command = [RECIPE, folder / "work", folder / "checkpoint"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return folder / "checkpoint"
