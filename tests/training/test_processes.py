"""Two processes with the same global batch train what one does."""

import json
import sys
from dataclasses import replace

import pytest
from handover_training.finetuning import run
from safetensors.torch import load_file

from .processes import start

TWO = (sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone")


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_same_global_batch(settings, base, tmp_path):
    log = tmp_path / "log.txt"
    divided = replace(settings, output_dir=tmp_path / "divided")
    process = start(divided, log, TWO)
    try:
        assert process.wait(timeout=240) == 0, log.read_text()
    finally:
        process.kill()
    run(settings)
    before = load_file(base / "model.safetensors")
    one = load_file(settings.output_dir / "model.safetensors")
    two = load_file(divided.output_dir / "model.safetensors")
    moved = max(float((one[name] - before[name]).abs().max()) for name in one)
    apart = max(float((one[name] - two[name]).abs().max()) for name in one)
    assert moved > 1e-3
    assert apart < 0.02 * moved
    for kind in ("eval_open_loop_mse", "loss"):
        assert measured(history_of(divided), kind) == pytest.approx(
            measured(history_of(settings), kind), rel=1e-4
        )


def history_of(settings):
    path = settings.output_dir / "checkpoint-4/trainer_state.json"
    return json.loads(path.read_text())["log_history"]


def measured(history, kind):
    values = [entry[kind] for entry in history if kind in entry]
    assert values
    return values
