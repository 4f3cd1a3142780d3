"""Dropout by hash: its share, its independence, and that it can be repeated."""

import pytest
import torch
from handover_training.network.dropout import SampleDropout, SampleKeys, use_sample_dropout
from torch import nn
from torch.utils.checkpoint import checkpoint


def keys_of(*numbers):
    keys = SampleKeys()
    keys.keys = torch.tensor(numbers, dtype=torch.int32)
    return keys


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_the_share_is_dropped_and_the_mean_kept(share):
    ones = torch.ones(4, 100, 500)
    dropped = SampleDropout(share, 0, keys_of(1, -2, 3, 2**31 - 1))(ones)
    assert (dropped == 0).float().mean().item() == pytest.approx(share, abs=0.005)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    for sample in range(4):
        assert (dropped[sample] == 0).float().mean().item() == pytest.approx(share, abs=0.01)


def test_a_samples_mask_does_not_depend_on_its_batch():
    ones = torch.ones(3, 7, 11)
    together = SampleDropout(0.3, 5, keys_of(10, 20, 30))(ones)
    alone = SampleDropout(0.3, 5, keys_of(20))(ones[:1])
    torch.testing.assert_close(together[1], alone[0], atol=0, rtol=0)


def test_masks_of_samples_layers_and_neighbours_are_unrelated():
    ones = torch.ones(2, 200_000)
    first = SampleDropout(0.5, 0, keys_of(7, 8))(ones) == 0
    other = SampleDropout(0.5, 1, keys_of(7, 8))(ones) == 0
    pairs = [(first[0], first[1]), (first[0], other[0]), (first[0][1:], first[0][:-1])]
    for one, two in pairs:
        assert (one & two).float().mean().item() == pytest.approx(0.25, abs=0.005)


def test_evaluation_drops_nothing_and_recomputation_drops_alike():
    keys = keys_of(3, 4)
    layer = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5))
    assert use_sample_dropout(layer, keys) == 1
    values = torch.randn(2, 8, requires_grad=True)
    assert torch.equal(layer.eval()(values), layer[0](values))
    layer.train()
    layer(values).square().sum().backward()
    kept = values.grad.clone()
    values.grad = None
    checkpoint(
        layer, values, use_reentrant=False, preserve_rng_state=False
    ).square().sum().backward()
    assert torch.equal(values.grad, kept)
