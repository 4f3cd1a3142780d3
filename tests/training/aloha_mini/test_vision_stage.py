"""The vision stage: where an object is in the image, and what the backbone's features are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from handover_training.aloha_mini.checkpoint import put_backbone
from handover_training.aloha_mini.configs import VisionConfig
from handover_training.aloha_mini.data.snapshots import TASK_TEXTS
from handover_training.aloha_mini.network import SHIPPED, draw_network
from handover_training.aloha_mini.processing import IMAGE_TOKENS
from handover_training.aloha_mini.tokenizer import SentencePrompts, random_sentence
from handover_training.aloha_mini.vision_stage import (
    Localization,
    VisionStage,
    location_loss,
    patch_targets,
)
from handover_training.errors import TrainingError
from safetensors.torch import load_file, save_file

GRID = 12
NOWHERE = np.full(3, np.nan, np.float32)


def test_an_object_below_the_camera_is_in_the_middle_of_the_image() -> None:
    targets = patch_targets(np.array([[[0.0, 0.6, 0.02], NOWHERE, NOWHERE]], np.float32), GRID)
    picture = targets[0, :, 0].reshape(GRID, GRID)
    np.testing.assert_allclose(picture[5:7, 5:7], 0.25, atol=1e-6)
    np.testing.assert_allclose(picture.sum(), 1, rtol=1e-6)
    assert not targets[..., 1:].any()


def test_shares_of_patches_move_with_the_object() -> None:
    places = np.array([[[x, 0.5, 0.02], NOWHERE, NOWHERE] for x in (-0.1, 0.0, 0.1)], np.float32)
    shares = patch_targets(places, GRID)[..., 0].reshape(3, GRID, GRID)
    columns = (shares.sum(1) * np.arange(GRID)).sum(1)
    np.testing.assert_allclose(np.diff(columns), columns[1] - columns[0], rtol=1e-4)
    assert columns[0] < columns[1] < columns[2]


def test_patches_are_those_of_the_vision_tower_and_come_on_request() -> None:
    network = draw_network(SHIPPED, 0).eval()
    pixels = torch.randn(2, 3, 168, 168, generator=torch.Generator().manual_seed(1)).split(1)
    ids, mask = SentencePrompts(IMAGE_TOKENS).batch(TASK_TEXTS[::-1])
    with torch.no_grad():
        output = network.backbone(pixels, ids, mask, keeps_patches=True)
        plain = network.backbone(pixels, ids, mask)
        patches = network.backbone.model.vision_model(pixels)
    assert [patch.shape[:2] for patch in patches] == [(GRID, GRID)] * 2
    assert output.patches is not None
    for kept, patch in zip(output.patches, patches, strict=True):
        assert torch.equal(kept, patch)
    assert plain.patches is None
    assert torch.equal(output.features, plain.features)


def test_the_same_seed_trains_the_same_backbone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for seed in (12, 14):
        np.savez(
            tmp_path / f"{seed}.npz",
            task=np.array(0),
            frames=rng.integers(0, 255, (2, 256, 256, 3), np.uint8),
            poses=rng.uniform(0, 0.1, (2, 1, 7)).astype(np.float32),
        )
    weights = []
    for name in ("one", "two"):
        output = tmp_path / f"{name}.safetensors"
        stage = VisionStage(VisionConfig((tmp_path,), output, batch_size=2))
        stage.step(1.0)
        stage.save()
        weights.append(load_file(output))
    for name, weight in weights[0].items():
        assert torch.equal(weight, weights[1][name]), name


def test_it_starts_from_another_backbone_where_one_is_given(tmp_path: Path) -> None:
    network = draw_network(SHIPPED, 5)
    save_file(
        {
            name: value
            for name, value in network.state_dict().items()
            if name.startswith("backbone")
        },
        tmp_path / "earlier.safetensors",
    )
    fresh = draw_network(SHIPPED, 0)
    put_backbone(fresh, tmp_path / "earlier.safetensors")
    for name, value in fresh.backbone.state_dict().items():
        assert torch.equal(value, network.backbone.state_dict()[name]), name
    head = draw_network(SHIPPED, 0).action_head.state_dict()
    assert all(
        torch.equal(value, head[name]) for name, value in fresh.action_head.state_dict().items()
    )
    with pytest.raises(TrainingError, match="is not a file; make it with"):
        put_backbone(fresh, tmp_path / "nowhere")


def test_sentences_are_drawn_from_the_seed_and_have_few_words() -> None:
    sentences = [random_sentence(np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert sentences[0] == sentences[1] != sentences[2]
    assert all(3 <= len(sentence.split()) <= 14 for sentence in sentences)


def test_objects_of_the_other_task_do_not_count() -> None:
    places = torch.full((1, 3, 3), float("nan"))
    places[0, 0] = 0.5
    right = torch.zeros(1, 4, 3, 3)
    right[:, :, 0] = 0.5
    right[:, :, 1:] = 7.0
    shares = torch.zeros(1, GRID * GRID, 3)
    shares[0, 5, 0] = 1
    place_loss, patch_loss = location_loss(
        Localization(right, torch.zeros(1, GRID * GRID, 3)), places, shares
    )
    assert place_loss.item() == 0
    np.testing.assert_allclose(patch_loss.item(), np.log(GRID * GRID), rtol=1e-5)
