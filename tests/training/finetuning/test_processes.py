"""Two processes with the same global batch train what one does, each with all weights or half."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from handover_training.finetuning.run import finetune
from safetensors.torch import load_file

from ..processes import start

TWO = (sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone")
PROGRAM = (str(Path(__file__).with_name("finetune_on_cpus.py")),)


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_same_global_batch(settings, base, tmp_path):
    divided = replace(settings, output_dir=tmp_path / "divided")
    train(divided, tmp_path, TWO, PROGRAM)
    finetune(settings)
    assert_as_one(settings, divided, base)


@pytest.mark.slow
@pytest.mark.parametrize("adapted", [False, True])
def test_weights_that_fsdp_divides_train_as_one_and_go_on_undivided(
    settings, base, tmp_path, adapted
):
    settings = replace(settings, lora_rank=4 if adapted else 0, gradient_checkpointing=adapted)
    divided = replace(settings, output_dir=tmp_path / "divided", fsdp=True)
    train(divided, tmp_path, TWO, PROGRAM)
    finetune(settings)
    assert_as_one(settings, divided, base)

    back_to_step_2(divided.output_dir)
    finetune(replace(divided, fsdp=False))
    assert_as_one(settings, divided, base)
    back_to_step_2(divided.output_dir)
    train(divided, tmp_path, TWO, PROGRAM)
    assert "continuing from" in (tmp_path / "log.txt").read_text()
    assert_as_one(settings, divided, base)


@pytest.mark.slow
@pytest.mark.parametrize("adapted", [False, True])
def test_in_bfloat16_what_fsdp_divides_has_the_losses_and_errors_of_one(
    settings, tmp_path, adapted
):
    """Rounded to bfloat16, a loss is up to 0.002 of itself away."""
    settings = replace(
        settings,
        precision="bfloat16",
        lora_rank=4 if adapted else 0,
        gradient_checkpointing=adapted,
    )
    divided = replace(settings, output_dir=tmp_path / "divided", fsdp=True)
    train(divided, tmp_path, TWO, PROGRAM)
    finetune(settings)
    for kind in ("eval_open_loop_mae", "loss"):
        assert measured(history_of(divided), kind) == pytest.approx(
            measured(history_of(settings), kind), rel=3e-4
        )


def train(settings, tmp_path, *how):
    log = tmp_path / "log.txt"
    process = start(settings, log, *how)
    try:
        status, said = process.wait(timeout=240), log.read_text()
        assert status == 0, said
        assert said.count("exit functions ran") in (2, 4)  # of two processes, once or twice
        assert "Python was torn down" not in said
    finally:
        process.kill()


def back_to_step_2(folder):
    """Leave what a run has that was killed after its second step."""
    for path in folder.iterdir():
        if path.name == "checkpoint-4":
            shutil.rmtree(path)
        elif path.is_file() and path.name != "run.json":
            path.unlink()
    known = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**known, "finished": False}))


def assert_as_one(settings, divided, base):
    before = load_file(base / "model.safetensors")
    one = load_file(settings.output_dir / "model.safetensors")
    two = load_file(divided.output_dir / "model.safetensors")
    moved = max(float((one[name] - before[name]).abs().max()) for name in one)
    apart = max(float((one[name] - two[name]).abs().max()) for name in one)
    assert moved > 1e-3
    assert apart < 0.02 * moved
    for kind in ("eval_open_loop_mae", "loss"):
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
