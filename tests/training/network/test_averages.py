"""Averaged weights: they follow, are used for a while, and are those of trained weights alone."""

import torch
from handover_training.network.averages import AveragedWeights
from torch import nn


def test_averages_follow_and_weights_come_back() -> None:
    module = nn.Linear(2, 2)
    average = AveragedWeights(module, decay=0.9)
    start = module.weight.detach().clone()
    with torch.no_grad():
        module.weight += 1.0
    for _ in range(200):
        average.follow(module)
    now = module.weight.detach().clone()
    with average.used_in(module):
        torch.testing.assert_close(module.weight.detach(), start + 1.0, atol=1e-3, rtol=0)
    assert torch.equal(module.weight, now)


def test_a_step_moves_by_the_decays_share_when_there_have_been_many() -> None:
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.zero_()
    average = AveragedWeights(module, decay=0.9)
    average.load({"weight": torch.zeros(1, 1)}, steps=10_000)
    with torch.no_grad():
        module.weight.fill_(1.0)
    average.follow(module)
    torch.testing.assert_close(average.weights["weight"], torch.tensor([[0.1]]))


def test_the_first_steps_count_for_little() -> None:
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.zero_()
    average = AveragedWeights(module, decay=0.999)
    with torch.no_grad():
        module.weight.fill_(1.0)
    average.follow(module)
    torch.testing.assert_close(average.weights["weight"], torch.tensor([[5 / 51]]))


def test_frozen_weights_have_no_average() -> None:
    module = nn.Linear(1, 1)
    module.bias.requires_grad_(False)
    assert set(AveragedWeights(module, 0.5).weights) == {"weight"}
