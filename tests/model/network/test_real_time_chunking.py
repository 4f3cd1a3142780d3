import dataclasses

import numpy as np
import pytest
import torch
from handover_model.network.real_time_chunking import (
    PrefixGuide,
    guidance,
    sample,
    sample_guided,
    soft_mask,
)
from hypothesis import given
from hypothesis import strategies as st

from .. import tiny

HORIZON, ACTION, STEPS = 4, tiny.CONFIG.max_action_dim, 4
SHAPE = (2, HORIZON, ACTION)


def guide_of(delay: int, length: int, seed: int = 7) -> PrefixGuide:
    weight = torch.from_numpy(soft_mask(delay, length, HORIZON)).float()[None, :, None]
    frozen = (torch.arange(HORIZON) < delay)[None, :, None]
    return PrefixGuide(tiny.normal(*SHAPE, seed=seed), weight.expand(SHAPE), frozen.expand(SHAPE))


def tiny_velocity(dtype=torch.float32):
    """The tiny network's velocity for one observation, as `generate` makes it."""
    head, backbone = tiny.network().action_head.to(dtype), tiny.backbone_output()
    embodiment = torch.tensor([0, 2])
    with torch.no_grad():
        memories = head.remember(backbone)
        tokens = head.encode_state(tiny.normal(2, 1, tiny.CONFIG.max_state_dim), embodiment)

    def velocity(actions, step):
        bucket = torch.full_like(embodiment, int(step / STEPS * 1000))
        return head.velocity(actions, bucket, tokens, embodiment, memories)

    return velocity


def test_the_mask_is_that_of_the_papers_equation_5():
    share = np.array([4, 3, 2, 1]) / 5
    falling = share * (np.exp(share) - 1) / (np.e - 1)
    np.testing.assert_allclose(soft_mask(2, 6, 10), [1, 1, *falling, 0, 0, 0, 0])
    np.testing.assert_array_equal(soft_mask(3, 3, 5), [1, 1, 1, 0, 0])


@given(st.integers(1, 16).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_mask_falls_from_1_to_0(numbers):
    delay, length = numbers
    mask = soft_mask(delay, length, 16)
    assert (mask[:delay] == 1).all()
    assert (np.diff(mask) <= 0).all()
    assert (mask[delay:length] > 0).all()
    assert (mask[delay:] < 1).all()
    assert (mask[length:] == 0).all()


def test_the_guidance_is_that_of_equations_2_and_4_and_bounded():
    # (t² + (1 - t)²) / (t (1 - t)), written out
    got = [guidance(time) for time in (0.0, 0.1, 0.25, 0.5, 0.75)]
    assert got == pytest.approx([5.0, 5.0, 10 / 3, 2.0, 10 / 3])


def test_the_update_is_the_papers_in_float64():
    """A linear velocity, whose Jacobian is known: everything by hand in numpy."""
    size = HORIZON * ACTION
    generator = np.random.default_rng(0)
    matrix, offset = generator.normal(0, 0.2, (size, size)), generator.normal(size=size)

    def velocity(actions, step):
        flat = actions.double().flatten(1) @ torch.from_numpy(matrix).T + torch.from_numpy(offset)
        return ((1 + step) * flat).reshape(actions.shape)

    guide, noise = guide_of(1, 3), tiny.normal(*SHAPE)
    got = sample_guided(velocity, noise, STEPS, guide)

    start = noise.double().numpy().reshape(2, size)
    target, weight = (
        values.double().numpy().reshape(2, size) for values in (guide.target, guide.weight)
    )
    frozen, actions = guide.frozen.numpy().reshape(2, size), start
    for step in range(STEPS):
        time = step / STEPS
        drift = (1 + step) * (actions @ matrix.T + offset)
        error = weight * (target - (actions + (1 - time) * drift))
        jacobian = np.eye(size) + (1 - time) * (1 + step) * matrix
        bound = 5.0 if step == 0 else min(5.0, (time**2 + (1 - time) ** 2) / (time * (1 - time)))
        actions = actions + (drift + bound * error @ jacobian) / STEPS
        line = start + (step + 1) / STEPS * (target - start)
        actions = np.where(frozen, line, actions)
    np.testing.assert_allclose(got.numpy().reshape(2, size), actions, rtol=2e-5, atol=2e-5)


def test_the_pull_goes_through_the_networks_own_jacobian():
    velocity, noise = tiny_velocity(), tiny.normal(*SHAPE)
    guide = dataclasses.replace(guide_of(0, 3), frozen=torch.zeros(SHAPE, dtype=torch.bool))
    got = sample_guided(velocity, noise, 1, guide)

    def expected(actions):
        return actions + velocity(actions, 0)

    jacobian = torch.autograd.functional.jacobian(expected, noise).reshape(noise.numel(), -1)
    error = guide.weight * (guide.target - expected(noise).detach())
    pull = (error.flatten() @ jacobian).reshape(SHAPE)
    torch.testing.assert_close(got, expected(noise).detach() + 5.0 * pull, rtol=1e-4, atol=1e-4)


def test_a_chunk_that_is_frozen_as_a_whole_is_its_prefix():
    guide = guide_of(HORIZON, HORIZON)
    got = sample_guided(tiny_velocity(), tiny.normal(*SHAPE), STEPS, guide)
    torch.testing.assert_close(got, guide.target)


@pytest.mark.parametrize("delay", [0, 1, 2])
def test_frozen_steps_are_those_of_the_prefix_and_the_next_ones_come_nearer(delay):
    velocity, noise, guide = tiny_velocity(), tiny.normal(*SHAPE), guide_of(delay, 3)
    with torch.no_grad():
        plain = sample(velocity, noise, STEPS)
    got = sample_guided(velocity, noise, STEPS, guide)
    torch.testing.assert_close(got[:, :delay], guide.target[:, :delay])
    apart, were_apart = (
        ((chunk - guide.target) * guide.weight)[:, delay:].norm() for chunk in (got, plain)
    )
    assert apart < were_apart


def test_a_guide_without_weight_changes_nothing():
    velocity, noise = tiny_velocity(), tiny.normal(*SHAPE)
    guide = PrefixGuide(
        tiny.normal(*SHAPE), torch.zeros(SHAPE), torch.zeros(SHAPE, dtype=torch.bool)
    )
    with torch.no_grad():
        assert torch.equal(
            sample_guided(velocity, noise, STEPS, guide), sample(velocity, noise, STEPS)
        )


def test_a_row_does_not_feel_what_guides_another():
    velocity, noise = tiny_velocity(), tiny.normal(*SHAPE)
    one, other = guide_of(1, 3), guide_of(1, 3)
    other.target[1] += 1
    first, second = (sample_guided(velocity, noise, STEPS, guide) for guide in (one, other))
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])
