"""Training for a given time: the schedule of the learning rate and averaged weights."""

import torch
from handover_training.locate_objects import schedule
from handover_training.timed_training import AveragedWeights, Clock, put_back
from torch import nn


def test_learning_rate_rises_then_falls() -> None:
    shares = [step / 100 for step in range(101)]
    rates = [schedule(share) for share in shares]
    top = rates.index(max(rates))
    assert 0 < top < 10
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert 0 < rates[-1] < 0.05


def test_clock_goes_on_where_an_earlier_run_stopped() -> None:
    assert Clock(10.0, before_s=10.0).over
    assert not Clock(1000.0, before_s=10.0).over
    assert Clock(1000.0, before_s=500.0).share >= 0.5


def test_averages_follow_and_weights_come_back() -> None:
    module = nn.Linear(2, 2)
    average = AveragedWeights(module, decay=0.9)
    start = module.weight.detach().clone()
    with torch.no_grad():
        module.weight += 1.0
    for _ in range(200):
        average.follow(module.named_parameters())
    before = average.put_into(module)
    torch.testing.assert_close(module.weight.detach(), start + 1.0, atol=1e-3, rtol=0)
    put_back(module, before)
    torch.testing.assert_close(module.weight.detach(), start + 1.0)
