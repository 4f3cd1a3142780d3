"""Settings that make no sense are told in one line, before anything is read or written."""

import dataclasses
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from handover_common.errors import UsageError
from handover_training.finetuning.arguments import training_arguments
from handover_training.finetuning.config import FinetuneConfig, check

SETTINGS = FinetuneConfig(dataset_path=(Path("data"),), report_to=("none",))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"max_steps": 0}, "--max-steps is 0, expected 1 or more"),
        ({"eval_steps": 0}, "--eval-steps is 0, expected 1 or more"),
        ({"seed": -1}, "--seed is -1, expected 0 to 4294967295"),
        ({"seed": 2**32}, "--seed is 4294967296"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan, expected 0 or more"),
        ({"warmup_ratio": 2.0}, "--warmup-ratio is 2, expected 0 to 1"),
        ({"weight_decay": -1.0}, "--weight-decay is -1, expected 0 or more"),
        ({"max_grad_norm": 0.0}, "--max-grad-norm is 0.0, expected more than 0"),
        ({"tune_top_llm_layers": -1}, "--tune-top-llm-layers is -1"),
        ({"random_rotation_angle": -5.0}, "--random-rotation-angle is -5, expected 0 or more"),
        ({"color_jitter_params": {"hue": float("nan")}}, "--color-jitter-params hue nan"),
        ({"resume": True, "overwrite": True}, "choose one of them"),
        ({"fsdp_config": Path("none.json")}, "--fsdp-config needs --fsdp"),
        ({"deepspeed": Path("none.json")}, "--deepspeed none.json cannot be read as JSON"),
    ],
)
def test_what_makes_no_sense_is_told(wrong, told):
    with pytest.raises(UsageError) as caught:
        check(dataclasses.replace(SETTINGS, **wrong))
    assert told in str(caught.value)


def test_defaults_and_gradients_of_any_length_make_sense():
    check(SETTINGS)
    check(dataclasses.replace(SETTINGS, max_grad_norm=float("inf")))


def test_a_process_by_itself_trains_on_one_of_several_gpus(monkeypatch, tmp_path, caplog):
    """transformers would wrap the module in DataParallel, which no batch of ours survives."""
    found = {"is_available": True, "device_count": 2, "is_tf32_supported": False}
    for name, value in found.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _device: None)
    settings = dataclasses.replace(SETTINGS, precision="float32", output_dir=tmp_path)
    arguments = training_arguments(settings, evaluates=False)
    AcceleratorState._reset_state(reset_partial_state=True)  # it has seen GPUs
    assert (arguments.device.type, arguments.n_gpu) == ("cuda", 1)
    assert caplog.messages == ["one of 2 GPUs trains; torchrun --nproc_per_node=2 uses all of them"]
