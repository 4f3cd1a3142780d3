import numpy as np
import pytest
import torch
from handover_model.errors import ModalityError
from handover_model.network.backbone import causal_mask, fold_patches
from handover_model.network.siglip import cut_patches

from .. import tiny

IMAGE = tiny.IMAGE_TOKEN


def features_of(network, images, rows):
    length = max(map(len, rows))
    ids = torch.tensor([[0] * (length - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])
    with torch.no_grad():
        return network.backbone(images, ids, mask)


def test_a_patch_is_ordered_row_column_channel():
    pixels = torch.arange(2 * 3 * 28 * 42, dtype=torch.float32).reshape(2, 3, 28, 42)
    patches = cut_patches(pixels, 14)
    assert patches.shape == (2, 6, 588)
    image = pixels[1].numpy()
    want = [image[c, 14 + y, 28 + x] for y in range(14) for x in range(14) for c in range(3)]
    np.testing.assert_array_equal(patches[1, 5], want)  # row 1, column 2 of the 2 x 3 patches


def test_a_token_is_ordered_channel_row_column():
    features = torch.arange(4 * 6 * 5, dtype=torch.float32).reshape(4, 6, 5)
    tokens = fold_patches(features)
    assert tokens.shape == (6, 20)
    want = [float(features[2 + dy, 4 + dx, c]) for c in range(5) for dy in (0, 1) for dx in (0, 1)]
    assert tokens[5].tolist() == want  # row 1, column 2 of the 2 x 3 tokens


def test_an_odd_patch_grid_cannot_be_folded():
    with pytest.raises(ModalityError, match="3x4 patches"):
        fold_patches(torch.zeros(3, 4, 5))


def test_an_image_is_seen_the_same_alone_and_among_others():
    tower = tiny.network().backbone.model.vision_model
    images = [tiny.normal(1, 3, *size, seed=size[0]) for size in ((56, 56), (28, 84), (56, 28))]
    images.append(tiny.normal(1, 3, 56, 56, seed=9))
    with torch.no_grad():
        together = tower(images)
        for image, features in zip(images, together, strict=True):
            torch.testing.assert_close(tower([image])[0], features, atol=1e-5, rtol=1e-5)


def test_positions_of_the_table_s_own_grid_are_the_table():
    embeddings = tiny.network().backbone.model.vision_model.vision_model.embeddings
    assert embeddings.positions(4, 4) is embeddings.position_embedding.weight
    constant = torch.full_like(embeddings.position_embedding.weight, 0.7)
    embeddings.position_embedding.weight.data = constant
    torch.testing.assert_close(embeddings.positions(2, 6), constant[:12])


def test_kept_positions_follow_the_weights():
    network = tiny.network().requires_grad_(False)
    tower, image = network.backbone.model.vision_model, tiny.normal(1, 3, 28, 84)
    with torch.no_grad():
        before = tower([image])[0]
        table = tower.vision_model.embeddings.position_embedding.weight
        table.add_(tiny.normal(*table.shape))
        after = tower([image])[0]
        fresh = tower.vision_model.embeddings.positions(2, 6)
    assert not torch.allclose(before, after)
    kept = tower.vision_model.positions(2, 6)
    torch.testing.assert_close(kept, fresh)


def test_positions_that_are_trained_are_not_kept():
    """FSDP gathers a table into the same memory, and its version stays."""
    tower = tiny.network().backbone.model.vision_model.vision_model
    table = tower.embeddings.position_embedding.weight
    with torch.no_grad():
        before = tower.positions(2, 6)
        with torch.autograd._unsafe_preserve_version_counter(table):
            table.add_(1.0)
        torch.testing.assert_close(tower.positions(2, 6), before + 1)


def test_left_padding_changes_nothing():
    network, image = tiny.network(), tiny.normal(1, 3, 28, 56)
    short, long = [5, 6, IMAGE, IMAGE, 7], [1, 2, 3, 4, 5, IMAGE, IMAGE, 7]
    alone = features_of(network, [image], [short])
    batch = features_of(network, [image, image], [long, short])
    assert batch.attention_mask.sum(1).tolist() == [8, 5]
    assert batch.image_mask[1].tolist() == [False] * 5 + [True, True, False]
    torch.testing.assert_close(batch.features[1, 3:], alone.features[0], atol=1e-5, rtol=1e-5)
    assert torch.isfinite(batch.features).all()


def test_text_before_an_image_does_not_see_it():
    network, row = tiny.network(), [5, 6, IMAGE, IMAGE, 7]
    one = features_of(network, [tiny.normal(1, 3, 28, 56, seed=1)], [row]).features[0]
    other = features_of(network, [tiny.normal(1, 3, 28, 56, seed=2)], [row]).features[0]
    torch.testing.assert_close(one[:2], other[:2])
    assert (one[2:] - other[2:]).abs().amax(-1).min() > 1e-3


def test_images_go_to_their_samples_in_order():
    network = tiny.network()
    first, second = (tiny.normal(1, 3, 28, 28, seed=seed) for seed in (1, 2))
    rows = [[5, IMAGE], [5, IMAGE]]
    batch = features_of(network, [first, second], rows).features
    swapped = features_of(network, [second, first], rows).features
    torch.testing.assert_close(batch.flip(0), swapped)


@pytest.mark.parametrize("row", [[5, IMAGE, 6], [5, IMAGE, IMAGE, IMAGE]])
def test_more_or_fewer_placeholders_than_image_tokens_are_refused(row):
    with pytest.raises(ModalityError, match=r"placeholders.*2 tokens"):
        features_of(tiny.network(), [tiny.normal(1, 3, 28, 56)], [row])


def test_an_image_that_is_no_multiple_of_a_token_is_refused():
    with pytest.raises(ModalityError, match="28x60, expected multiples of 28"):
        features_of(tiny.network(), [tiny.normal(1, 3, 28, 60)], [[5, IMAGE, IMAGE]])


def test_the_mask_is_causal_and_leaves_padding_out():
    mask = causal_mask(torch.tensor([[False, True, True]]))[0, 0]
    assert mask.tolist() == [[True, False, False], [False, True, False], [False, True, True]]
