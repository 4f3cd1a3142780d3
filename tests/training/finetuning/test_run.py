"""A few real steps on real data: what is trained, what is not, and what is written."""

import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from handover_common.errors import UsageError
from handover_model.checkpoints.checkpoint import load_checkpoint
from handover_model.policy import load_policy
from handover_model.processing.statistics import statistics_json
from handover_proto.types import Observation, PolicyRequest
from handover_training.checkpoints.run_folder import RunStart
from handover_training.data.dataset import TrainingWindows
from handover_training.data.sampler import BatchSlot
from handover_training.errors import DivergedError, RunFolderError, TrainingError
from handover_training.finetuning import run as finetuning
from handover_training.finetuning import training_data
from handover_training.finetuning.plan import make_plan
from handover_training.finetuning.run import finetune, make_data, make_trainer
from handover_training.network.base_model import BaseModel
from safetensors.torch import load_file
from transformers.trainer import Trainer

ROOT = Path(__file__).resolve().parents[3]
HEAD = "action_head."
LANGUAGE = "backbone.model.language_model."
VISION = ("backbone.model.vision_model.", "backbone.model.mlp1.")


def weights(folder):
    return load_file(folder / "model.safetensors")


def changed(before, after):
    return {name for name in after if not torch.equal(before[name].float(), after[name].float())}


def losses(folder):
    state = json.loads((folder / "checkpoint-30/trainer_state.json").read_text())
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


def test_the_example_of_the_training_page_runs(dataset, base, cache, tmp_path, monkeypatch):
    page = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(from pathlib .*?)```", page, re.DOTALL)
    for place, there in (("data/transfer_cube", dataset), ("outputs/base", base)):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).symlink_to(there)
    monkeypatch.chdir(tmp_path)
    short = {"max_steps": "2", "global_batch_size": "4", "dataloader_num_workers": "0"}
    short |= {"device": "'cpu'", "cache_dir": f"Path({str(cache)!r})"}
    settings = ", ".join(f"{name}={value}" for name, value in short.items())
    exec(re.sub("max_steps=2000", settings, example), {})
    assert (tmp_path / "outputs/from_python/model.safetensors").exists()


@pytest.fixture
def frozen_backbone(settings):
    return replace(settings, tune_top_llm_layers=0)


def test_the_loss_falls_and_only_the_action_head_is_trained(frozen_backbone, base):
    settings = replace(frozen_backbone, max_steps=30, save_steps=30, learning_rate=3e-3)
    finetune(settings)
    curve = losses(settings.output_dir)
    assert len(curve) == 30
    assert np.mean(curve[-5:]) < 0.95 * np.mean(curve[:5])
    touched = changed(weights(base), weights(settings.output_dir))
    assert touched, "nothing was trained"
    assert all(name.startswith(HEAD) for name in touched)
    parts = {name.removeprefix(HEAD).split(".")[0] for name in touched}
    assert parts == {
        "model", "state_encoder", "action_encoder", "action_decoder", "position_embedding", "vlln",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "trained"),
    [
        ({"tune_diffusion_model": False, "tune_projector": False}, (f"{HEAD}vlln.",)),
        ({"tune_diffusion_model": False, "tune_vlln": False}, (f"{HEAD}",)),
        ({"tune_projector": False, "tune_vlln": False}, (f"{HEAD}model.",)),
        ({"tune_top_llm_layers": 1}, (HEAD, f"{LANGUAGE}model.layers.1.")),
        ({"tune_llm": True}, (HEAD, LANGUAGE)),
        ({"tune_visual": True}, (HEAD, *VISION)),
    ],
)
def test_each_flag_trains_its_part_and_no_other(frozen_backbone, base, flags, trained):
    settings = replace(frozen_backbone, max_steps=1, val_episodes=0, **flags)
    finetune(settings)
    touched = changed(weights(base), weights(settings.output_dir))
    for prefix in trained:
        assert any(name.startswith(prefix) for name in touched), f"{prefix} was not trained"
    assert all(name.startswith(trained) for name in touched), touched
    if flags.get("tune_diffusion_model") is False:
        assert not any(name.startswith(f"{HEAD}model.") for name in touched)


def test_frozen_parts_are_in_evaluation_mode_and_without_gradients(frozen_backbone):
    trainer = make_trainer(make_plan(frozen_backbone), RunStart(None))
    network = trainer.module.train().network
    assert not any(module.training for module in network.backbone.modules())
    assert any(module.training for module in network.action_head.model.modules())
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.compute_loss(trainer.module, batch).backward()
    for name, weight in network.named_parameters():
        assert (weight.grad is None) == name.startswith("backbone."), name


def test_a_loss_is_divided_by_the_real_numbers_of_its_steps_whole_batch(frozen_backbone):
    settings = replace(frozen_backbone, global_batch_size=32, gradient_accumulation_steps=8)
    data = make_data(make_plan(settings), RunStart(None))
    micros = [data.collator([data.windows[slot] for slot in slots]) for slots in data.batches]
    totals = []
    for step in range(settings.max_steps):
        parts = micros[8 * step : 8 * (step + 1)]
        totals.append(sum(float(part["action_mask"].sum()) for part in parts))
        assert {float(part["mask_total"]) for part in parts} == {totals[-1]}
    assert len(set(totals)) > 1, "chunks beyond their episodes' end are among them"


def test_a_chunk_beyond_its_episodes_end_counts_only_its_real_steps(frozen_backbone):
    data = make_data(make_plan(frozen_backbone), RunStart(None))
    whole, last = (data.windows[BatchSlot(0, 0, window)].sample.action_mask for window in (0, 159))
    assert (whole.sum(), last.sum(), last[0].sum()) == (16 * 14, 14, 14)


def test_attention_whose_gradients_can_be_nan_on_a_gpu_is_off(settings):
    torch.backends.cuda.enable_cudnn_sdp(True)
    make_trainer(make_plan(settings), RunStart(None))
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_the_same_settings_give_the_same_weights(settings, tmp_path):
    finetune(settings)
    again = replace(settings, output_dir=tmp_path / "again")
    finetune(again)
    assert not changed(weights(settings.output_dir), weights(again.output_dir))


def test_accumulation_recomputation_and_workers_do_not_change_the_result(settings, tmp_path):
    finetune(settings)
    divided = replace(
        settings,
        output_dir=tmp_path / "divided",
        gradient_accumulation_steps=2,
        gradient_checkpointing=True,
        dataloader_num_workers=2,
    )
    finetune(divided)
    whole, parts = weights(settings.output_dir), weights(divided.output_dir)
    for name in whole:
        # Adam divides by the gradient's size, so rounding of tiny gradients shows in the weights
        torch.testing.assert_close(whole[name], parts[name], atol=3e-4, rtol=0, msg=name)


def test_what_is_written_can_be_served_and_says_how_it_was_made(settings, dataset):
    finetune(settings)
    policy = load_policy(settings.output_dir, device="cpu")
    spec = policy.spec
    assert spec.rate_hz == 20
    assert spec.horizon == 16
    (record,) = spec.training
    assert record.dataset_name == dataset.name
    assert sorted((*record.train_episodes, *record.held_out_episodes)) == [0, 1]
    assert len(record.held_out_episodes) == 1
    observation = Observation(
        {"ego_view": [np.zeros((64, 64, 3), np.uint8)]},
        {group.name: np.zeros((1, group.dim), np.float32) for group in spec.state},
        "pick up the cube",
    )
    (output,) = policy.infer([PolicyRequest(observation, seed=1)])
    assert output.action["left_arm"].shape == (16, 7)
    told = json.loads((settings.output_dir / "training_record.json").read_text())
    assert told["trained_on"][0]["dataset_hash"] == record.dataset_hash
    assert told["modality_configs"]["gr1"]["action"]["action_configs"][0]["rep"] == "RELATIVE"
    assert told["settings"]["learning_rate"] == settings.learning_rate
    best = json.loads((settings.output_dir / "best_checkpoint.json").read_text())
    assert (settings.output_dir / "best").resolve().name == best["checkpoint"]


def test_the_statistics_of_the_base_do_not_win_unless_asked_for(settings, base, tmp_path):
    own = make_plan(settings).base.processor_config.statistics["gr1"]
    foreign = load_checkpoint(base).processor_config.statistics["gr1"]
    assert own.action["left_hand"].max[0] < 2 < foreign.action["left_hand"].max[0]
    asked = make_plan(replace(settings, use_base_statistics=True))
    chosen = asked.base.processor_config.statistics["gr1"]
    assert statistics_json(chosen) == statistics_json(foreign)


def test_adapters_train_few_weights_and_are_merged_into_the_checkpoint(frozen_backbone, base):
    settings = replace(frozen_backbone, lora_rank=2, tune_projector=False, tune_vlln=False)
    trainer = make_trainer(make_plan(settings), RunStart(None))
    module = trainer.module
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    assert sum(w.numel() for w in trained) < 0.15 * sum(w.numel() for w in module.parameters())
    finetune(settings)
    before, after = weights(base), weights(settings.output_dir)
    assert set(before) == set(after), "a checkpoint with adapters has the plain layout"
    touched = changed(before, after)
    assert touched
    assert all(name.startswith(f"{HEAD}model.") and ".weight" in name for name in touched)


def test_a_loss_that_is_no_number_names_step_and_episodes(settings, monkeypatch):
    reads = training_data.read_recordings

    def poisoned(*arguments, **keywords):
        recordings = reads(*arguments, **keywords)
        for recording in recordings:
            recording.action["left_hand"][:] = np.nan
        return recordings

    monkeypatch.setattr(training_data, "read_recordings", poisoned)
    with pytest.raises(DivergedError, match=r"step 1, in a batch of transfer_cube episode [01]"):
        finetune(replace(settings, val_episodes=0))


def test_a_gradient_that_is_no_number_names_the_episodes_of_all_its_micro_batches(
    settings, monkeypatch
):
    monkeypatch.setattr(Trainer, "_clip_grad_norm", lambda *_: torch.tensor(torch.nan))
    divided = replace(settings, val_episodes=0, gradient_accumulation_steps=4)
    with pytest.raises(DivergedError, match=r"step 1, in a batch of .* episode 0, .* episode 1;"):
        finetune(divided)


def test_out_of_memory_says_which_flags_help(settings, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(finetuning.FinetuneTrainer, "training_step", full)
    with pytest.raises(TrainingError, match=r"--gradient-checkpointing.*--lora-rank"):
        finetune(settings)


def test_a_run_that_cannot_begin_says_which_flags_help_and_leaves_the_folder_free(
    settings, monkeypatch
):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(BaseModel, "load", full)
    for seed in (1, 2):
        with pytest.raises(TrainingError, match=r"--gradient-checkpointing.*--lora-rank"):
            finetune(replace(settings, seed=seed))


def test_a_worker_that_is_killed_is_one_line(settings, monkeypatch):
    def killed(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(TrainingWindows, "__getitem__", killed)
    with pytest.raises(TrainingError, match=r"DataLoader worker .*--dataloader-num-workers"):
        finetune(replace(settings, dataloader_num_workers=1))


def test_a_finished_run_is_not_written_over(settings):
    finetune(settings)
    before = (settings.output_dir / "model.safetensors").read_bytes()
    with pytest.raises(RunFolderError, match="--resume"):
        finetune(settings)
    with pytest.raises(RunFolderError, match="learning_rate"):
        finetune(replace(settings, learning_rate=1e-5))
    assert (settings.output_dir / "model.safetensors").read_bytes() == before
    finetune(replace(settings, max_steps=6, resume=True))
    assert (settings.output_dir / "checkpoint-6").is_dir()
    assert (settings.output_dir / "model.safetensors").read_bytes() != before


def test_a_finished_run_is_overwritten_only_by_one_that_does_not_start_from_it(settings):
    finetune(settings)
    again = replace(settings, learning_rate=1e-5, overwrite=True)
    with pytest.raises(UsageError, match="--overwrite would remove"):
        finetune(replace(again, base_model_path=str(settings.output_dir / "best")))
    before = (settings.output_dir / "model.safetensors").read_bytes()
    finetune(again)
    assert (settings.output_dir / "model.safetensors").read_bytes() != before


def test_bfloat16_computes_with_float32_noise_and_weights(settings):
    finetune(replace(settings, precision="bfloat16", max_steps=2))
    after = weights(settings.output_dir)
    assert all(tensor.dtype == torch.float32 for tensor in after.values())
