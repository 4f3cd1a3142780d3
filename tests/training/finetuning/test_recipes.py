"""The recipes' own scripts, on the tiny base: they run, and what they write can be served."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from handover_model.policy import load_policy

RECIPES = Path(__file__).resolve().parents[3] / "training/recipes"
SHORT = ("--max-steps", "2", "--global-batch-size", "8", "--device", "cpu", "--save-steps", "2")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["original", "one_gpu_lora"])
def test_a_recipe_runs(name, dataset, base, cache, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    # the package may not be installed where tests run: the two commands as a user has them
    write_program(programs / "handover", "-m handover_training.finetune", drops_first=True)
    write_program(programs / "torchrun", "-m torch.distributed.run")
    write_program(programs / "python", "")
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DATASET": str(dataset),
        "BASE": str(base),
        "OUTPUT": str(tmp_path / "run"),
        "GPUS": "2",
        "OMP_NUM_THREADS": "1",
    }
    command = [
        str(RECIPES / f"{name}.sh"),
        *SHORT,
        "--cache-dir",
        str(cache),
        "--report-to",
        "none",
    ]
    done = subprocess.run(
        command,
        env=environment,
        cwd=RECIPES.parents[1],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert load_policy(tmp_path / "run", device="cpu").spec.horizon == 16


def write_program(path, module, drops_first=False):
    shift = "shift\n" if drops_first else ""
    path.write_text(f'#!/bin/sh\n{shift}exec "{sys.executable}" {module} "$@"\n')
    path.chmod(0o755)
