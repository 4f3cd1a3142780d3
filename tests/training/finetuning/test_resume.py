"""A run that is interrupted ends with the weights of one that was not, bit for bit."""

import errno
import json
import math
import os
import random
import shutil
import signal
import sys
import time
from dataclasses import replace

import pytest
import torch
from handover_training.checkpoints import folders as checkpoint_folders
from handover_training.checkpoints.folders import TRASH
from handover_training.errors import RunFolderError, TrainingError
from handover_training.finetuning.run import finetune
from handover_training.loop import trainer
from handover_training.loop.trainer import FinetuneTrainer
from safetensors.torch import load_file

from ..processes import start, wait_for

KILLS = 4
STOPS_AFTER_A_CHECKPOINT = """
import os, signal
from handover_training.checkpoints import folders as checkpoint_folders
from handover_training.finetuning.command import module

publish = checkpoint_folders.publish

def stops(staged, target):
    publish(staged, target)
    os.kill(os.getpid(), signal.SIGSTOP)

checkpoint_folders.publish = stops
module()
"""


class Killed(BaseException):
    """Stands for the end of the process."""


def final_weights(settings):
    return (settings.output_dir / "model.safetensors").read_bytes()


def kill_at_step(monkeypatch, step):
    trains = FinetuneTrainer.training_step

    def dies(self, *arguments, **keywords):
        if self.state.global_step == step:
            raise Killed
        return trains(self, *arguments, **keywords)

    monkeypatch.setattr(FinetuneTrainer, "training_step", dies)


@pytest.fixture(scope="module")
def uninterrupted(run_settings, tmp_path_factory):
    whole = replace(run_settings, output_dir=tmp_path_factory.mktemp("whole") / "run", save_steps=1)
    finetune(whole)
    return final_weights(whole)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_command_goes_on_and_ends_bit_identical(
    settings, uninterrupted, monkeypatch, workers
):
    broken = replace(settings, dataloader_num_workers=workers, save_steps=1)
    with monkeypatch.context() as patch:
        kill_at_step(patch, 3)
        with pytest.raises(Killed):
            finetune(broken)
    assert (broken.output_dir / "checkpoint-3").is_dir()
    assert not (broken.output_dir / "model.safetensors").exists()
    finetune(broken)
    assert final_weights(broken) == uninterrupted


def test_averaged_weights_are_written_and_go_on_as_they_would_have(settings, monkeypatch, tmp_path):
    whole = replace(settings, output_dir=tmp_path / "whole", ema_decay=0.9, save_steps=1)
    finetune(whole)
    kept = load_file(whole.output_dir / "checkpoint-4/trained_weights.safetensors")
    written = load_file(whole.output_dir / "checkpoint-4/model.safetensors")
    name = "action_head.vlln.weight"
    assert torch.equal(written[name], kept[f"average.{name}"])
    assert not torch.equal(written[name], kept[name])
    broken = replace(whole, output_dir=tmp_path / "broken")
    with monkeypatch.context() as patch:
        kill_at_step(patch, 3)
        with pytest.raises(Killed):
            finetune(broken)
    finetune(broken)
    assert final_weights(broken) == final_weights(whole)


def test_a_resumed_run_trains_with_the_commands_rate_and_decay(settings):
    first = {"lr_scheduler_type": "constant", "warmup_ratio": 0, "save_steps": 4}
    settings = replace(settings, val_episodes=0, **first)
    finetune(settings)
    before = load_file(settings.output_dir / "checkpoint-4/model.safetensors")
    still = {"learning_rate": 1e-12, "weight_decay": 0.0, "max_steps": 6}
    finetune(replace(settings, resume=True, **still))
    folder = settings.output_dir / "checkpoint-6"
    after = load_file(folder / "model.safetensors")
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, atol=1e-9, rtol=0)
    kept = json.loads((folder / "optimizer.json").read_text())
    assert {group["lr"] for group in kept["groups"]} == {1e-12}
    assert {group["weight_decay"] for group in kept["groups"]} == {0.0}
    assert kept["schedule"]["base_lrs"] == [1e-12, 1e-12]
    cosine = {"lr_scheduler_type": "cosine", "learning_rate": 2.0, "max_steps": 8}
    with pytest.MonkeyPatch.context() as patch:
        kill_at_step(patch, 7)
        with pytest.raises(Killed):
            finetune(replace(settings, resume=True, **{**cosine, "save_steps": 1}))
    schedule = json.loads((settings.output_dir / "checkpoint-7/optimizer.json").read_text())
    # half a cosine over 8 steps, at the 7th: 2 x (1 + cos(7 pi / 8)) / 2
    rates = [group["lr"] for group in schedule["groups"]]
    assert rates == pytest.approx([1 + math.cos(7 * math.pi / 8)] * 2)


def test_another_tokenizer_or_configuration_is_another_run(settings, base, tmp_path):
    finetune(replace(settings, max_steps=1))
    for name, old, new in (
        ("tokenizer.json", '"add_prefix_space"', '"add_prefix_space" '),
        ("config.json", '"num_inference_timesteps": 4', '"num_inference_timesteps": 8'),
    ):
        other = tmp_path / name
        shutil.copytree(base, other)
        text = (other / name).read_text()
        assert old in text
        (other / name).write_text(text.replace(old, new))
        changed = replace(settings, max_steps=1, base_model_path=str(other), resume=True)
        with pytest.raises(RunFolderError, match="tokenizer" if name[0] == "t" else "base_config"):
            finetune(changed)


def test_a_half_written_checkpoint_is_never_loaded(settings, uninterrupted, monkeypatch):
    settings = replace(settings, save_steps=1)
    with monkeypatch.context() as patch:
        kill_at_step(patch, 3)
        with pytest.raises(Killed):
            finetune(settings)
    folder = settings.output_dir
    half = (folder / "checkpoint-3/model.safetensors").read_bytes()
    (folder / "checkpoint-3/model.safetensors").write_bytes(half[: len(half) // 2])
    shutil.copytree(folder / "checkpoint-2", folder / "checkpoint-9")
    (folder / "checkpoint-9/files.json").unlink()
    assert checkpoint_folders.latest_whole(folder) == folder / "checkpoint-2"
    finetune(settings)
    assert final_weights(settings) == uninterrupted


def test_dying_while_a_checkpoint_is_written_leaves_the_one_before(
    settings, uninterrupted, monkeypatch
):
    settings = replace(settings, save_steps=1)

    def dies(staged, target):
        if target.name == "checkpoint-3":
            raise Killed
        publish(staged, target)

    publish = checkpoint_folders.publish
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_folders, "publish", dies)
        with pytest.raises(Killed):
            finetune(settings)
    assert not (settings.output_dir / "checkpoint-3").exists()
    finetune(settings)
    assert final_weights(settings) == uninterrupted
    assert not (settings.output_dir / TRASH).exists() or not any(
        (settings.output_dir / TRASH).iterdir()
    )


def test_dying_before_the_last_checkpoint_is_marked_marks_it_later(settings, monkeypatch):
    settings = replace(settings, max_steps=1)

    def dies(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_folders, "mark_best", dies)
        with pytest.raises(Killed):
            finetune(settings)
    assert (settings.output_dir / "checkpoint-1").is_dir()
    assert not (settings.output_dir / "best").is_symlink()
    finetune(settings)
    assert (settings.output_dir / "best").resolve().name == "checkpoint-1"


def test_a_full_disk_is_told_and_leaves_the_checkpoint_before(settings, uninterrupted, monkeypatch):
    settings = replace(settings, save_steps=1)
    saves = trainer.save_optimizer

    def full(folder, *arguments):
        if folder.name == "checkpoint-3":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        saves(folder, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save_optimizer", full)
        with pytest.raises(TrainingError, match=r"checkpoint-3 cannot be written: .* No space"):
            finetune(settings)
    names = {path.name for path in settings.output_dir.iterdir()}
    assert {"checkpoint-1", "checkpoint-2"} <= names
    assert not {checkpoint_folders.STAGING, "checkpoint-3"} & names
    finetune(settings)
    assert final_weights(settings) == uninterrupted


def test_a_killed_process_resumes_bit_identical_and_keeps_others_out(
    settings, uninterrupted, tmp_path
):
    settings = replace(settings, save_steps=1)
    log = tmp_path / "log.txt"
    process = start(settings, log, (sys.executable,), ("-c", STOPS_AFTER_A_CHECKPOINT))
    try:
        wait_for(settings.output_dir / "checkpoint-1", process, log)
        with pytest.raises(RunFolderError, match="another run is at work"):
            finetune(settings)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
    finetune(settings)
    assert final_weights(settings) == uninterrupted


@pytest.mark.slow
def test_any_number_of_kills_at_any_moment_changes_nothing(settings, tmp_path):
    settings = replace(settings, max_steps=24, save_steps=1, save_total_limit=2)
    whole = replace(settings, output_dir=tmp_path / "whole")
    finetune(whole)
    draw, log = random.Random(0), tmp_path / "log.txt"
    for _ in range(KILLS):
        process, newest = start(settings, log), newest_step(settings)
        try:
            wait_for_step(newest + 1, settings, process, log)
            until = time.monotonic() + draw.uniform(0, 0.4)  # training and writing take turns
            while time.monotonic() < until and newest_step(settings) < newest + 3:
                time.sleep(0.01)
        finally:
            process.kill()
        assert process.wait(timeout=60) == -signal.SIGKILL, log.read_text()
    assert newest_step(settings) < settings.max_steps
    finetune(settings)
    assert final_weights(settings) == final_weights(whole)


def newest_step(settings):
    found = checkpoint_folders.list_checkpoints(settings.output_dir)
    return checkpoint_folders.step_of(found[-1]) if found else 0


def wait_for_step(step, settings, process, log):
    wait_for(settings.output_dir / f"checkpoint-{step}", process, log, timeout_s=240)
