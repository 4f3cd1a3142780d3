import dataclasses

import numpy as np
import pytest
import torch
from handover_model.network.flow_matching import draw_flow
from handover_model.network.groot import ModelInput, TrainingTarget
from handover_training.network.tuning import apply_tuning, train_mode

from ...model import tiny


def batch():
    ids = torch.tensor([[5, tiny.IMAGE_TOKEN, 6]] * 2)
    images = [tiny.normal(1, 3, 28, 28, seed=seed) for seed in (1, 2)]
    slots = torch.tensor([0, 1])
    inputs = ModelInput(images, ids, torch.ones_like(ids), tiny.normal(2, 1, 5), slots)
    return inputs, TrainingTarget(tiny.normal(2, 4, 6), torch.ones(2, 4, 6))


def with_gradient(**flags) -> set[str]:
    network = tiny.network()
    trained = apply_tuning(network, dataclasses.replace(network.config, **flags))
    network(*batch(), draw_flow(network.config, 2, np.random.default_rng(0))).loss.backward()
    names = {
        name
        for name, weight in network.named_parameters()
        if weight.grad is not None and weight.grad.abs().max() > 0
    }
    assert names <= set(trained)
    return {".".join(name.split(".")[:5]) for name in names}


def test_the_defaults_train_the_head_and_the_top_language_layers():
    names = with_gradient()
    layers = {name for name in names if name.startswith("backbone.")}
    assert layers == {"backbone.model.language_model.model.layers"}
    heads = {name.split(".")[1] for name in names - layers}
    assert heads == {
        *("model", "state_encoder", "action_encoder", "action_decoder"),
        *("vlln", "position_embedding"),
    }


def test_only_the_last_language_layers_are_trained():
    network = tiny.network()
    trained = [name for name in apply_tuning(network) if "language_model" in name]
    assert trained
    assert all(".layers.1." in name for name in trained)  # of two kept layers, the last


def test_more_language_layers_than_there_are_means_all_of_them_and_nothing_else():
    network = tiny.network()
    flags = dataclasses.replace(network.config, tune_top_llm_layers=9)
    trained = [name for name in apply_tuning(network, flags) if "language_model" in name]
    assert {int(name.split(".layers.")[1].split(".")[0]) for name in trained} == {0, 1}


@pytest.mark.parametrize(
    ("flag", "part"),
    [
        ("tune_projector", "action_head.state_encoder"),
        ("tune_diffusion_model", "action_head.model"),
        ("tune_vlln", "action_head.vlln"),
    ],
)
def test_a_part_is_frozen_by_its_flag(flag, part):
    assert any(name.startswith(part) for name in with_gradient())
    assert not any(name.startswith(part) for name in with_gradient(**{flag: False}))


def test_the_vision_tower_and_projector_are_trained_on_demand():
    names = with_gradient(tune_visual=True)
    assert "backbone.model.vision_model.vision_model.encoder" in names
    assert any(name.startswith("backbone.model.mlp1") for name in names)
    assert not any("vision_model" in name or "mlp1" in name for name in with_gradient())


def test_the_whole_language_model_is_trained_on_demand():
    assert "backbone.model.language_model.model.embed_tokens" in with_gradient(tune_llm=True)


def test_dropout_is_on_only_in_what_is_trained():
    network = tiny.network()
    apply_tuning(network, dataclasses.replace(network.config, tune_diffusion_model=False))
    network.train()
    train_mode(network)
    assert not any(module.training for module in network.action_head.model.modules())
    apply_tuning(network)
    train_mode(network)
    dropouts = [m for m in network.modules() if isinstance(m, torch.nn.Dropout)]
    assert dropouts
    assert all(dropout.training for dropout in dropouts)
    assert not any(module.training for module in network.backbone.model.vision_model.modules())
    assert not network.backbone.model.language_model.model.layers[0].mlp.gate_proj.training
    assert network.backbone.model.language_model.model.layers[1].mlp.gate_proj.training
