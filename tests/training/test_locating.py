"""The vision stage: where an object is in the image, and what the backbone's features are."""

import numpy as np
import torch
from handover_training.aloha_mini.locating import (
    Localization,
    encode_images,
    location_loss,
    patch_targets,
)
from handover_training.aloha_mini.network import draw_network
from handover_training.aloha_mini.prompts import TaskPrompts

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


def test_features_are_those_that_the_policy_computes() -> None:
    network = draw_network(0).eval()
    pixels = torch.randn(2, 3, 168, 168, generator=torch.Generator().manual_seed(1))
    ids, mask = TaskPrompts().batch(np.array([1, 0]))
    with torch.no_grad():
        output, patches = encode_images(network.backbone, pixels, ids, mask)
        expected = network.backbone(list(pixels.split(1)), ids, mask)
    assert patches.shape[:3] == (2, GRID, GRID)
    torch.testing.assert_close(output.features, expected.features)
    assert torch.equal(output.image_mask, expected.image_mask)


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
