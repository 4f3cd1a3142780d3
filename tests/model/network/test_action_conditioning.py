"""Chunks that begin with given steps, each token with the timestep of its own kind."""

import dataclasses

import pytest
import torch
from handover_model.network.flow_matching import FlowDraw, clean_steps
from handover_model.network.real_time_chunking import CleanPrefix

from .. import tiny

HORIZON, ACTION, STATE = 4, tiny.CONFIG.max_action_dim, tiny.CONFIG.max_state_dim
SHAPE = (2, HORIZON, ACTION)
SLOTS = torch.tensor([0, 2])
DELAYS = torch.tensor([2, 0])


def head_and_state():
    head = tiny.network().action_head
    return head, tiny.backbone_output(), tiny.normal(2, 1, STATE)


def velocity_one_by_one(head, actions, bucket, tokens, memories, delays):
    """The velocity with every token's timestep embedded by itself, without any selection."""
    times = [[int(bucket[row])] + [int(bucket[row])] * HORIZON for row in range(2)]
    for row, delay in enumerate(delays.tolist()):
        times[row][1 : 1 + delay] = [1000] * delay
    buckets = torch.tensor(times)
    dit = head.model
    encoded = head.action_encoder(actions, buckets[:, 1:], SLOTS)
    hidden = torch.cat([tokens, encoded + head.position_embedding.weight[:HORIZON]], dim=1)
    time = dit.timestep_encoder(buckets)  # (B, T, width)
    silu = torch.nn.functional.silu(time)
    for block, memory in zip(dit.transformer_blocks, memories, strict=True):
        scale, shift = block.norm1.linear(silu).chunk(2, dim=-1)
        normed = block.norm1.norm(hidden) * (1 + scale) + shift
        hidden = hidden + block.attn1(normed, memory or block.attn1.remember(normed, None))
        hidden = hidden + block.ff(block.norm3(hidden))
    shift, scale = dit.proj_out_1(silu).chunk(2, dim=-1)
    output = dit.proj_out_2(dit.norm_out(hidden) * (1 + scale) + shift)
    return head.action_decoder(output, SLOTS)[:, 1:]


@torch.no_grad()
def test_every_token_has_the_timestep_of_its_own_kind():
    head, backbone, state = head_and_state()
    tokens, memories = head.encode_state(state, SLOTS), head.remember(backbone)
    actions, bucket = tiny.normal(*SHAPE, seed=3), torch.tensor([250, 750])
    clean = clean_steps(DELAYS, HORIZON)
    got = head.velocity(actions, bucket, tokens, SLOTS, memories, clean)
    want = velocity_one_by_one(head, actions, bucket, tokens, memories, DELAYS)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)
    other = velocity_one_by_one(head, actions, bucket, tokens, memories, torch.tensor([0, 0]))
    assert (got[0] - other[0]).abs().max() > 1e-3  # the clean timestep matters


@torch.no_grad()
def test_a_chunk_begins_with_exactly_what_was_given_and_the_rest_depends_on_it():
    head, backbone, state = head_and_state()
    noise, target = tiny.normal(*SHAPE, seed=3), tiny.normal(*SHAPE, seed=9)
    clean = clean_steps(DELAYS, HORIZON)

    def generate(prefix):
        return head.generate(backbone, state, SLOTS, noise, prefix)

    got, plain = generate(CleanPrefix(target, clean)), generate(None)
    torch.testing.assert_close(got[0, :2], target[0, :2], rtol=0, atol=0)
    assert (got[0, 2:] - plain[0, 2:]).abs().max() > 1e-3
    torch.testing.assert_close(got[1], plain[1], rtol=0, atol=1e-5)  # continues nothing
    ignored = target.clone()
    ignored[0, 2:], ignored[1] = 99.0, 99.0
    torch.testing.assert_close(generate(CleanPrefix(ignored, clean)), got, rtol=0, atol=0)


def test_the_loss_is_that_of_the_other_steps_given_the_clean_ones(monkeypatch):
    head, backbone, state = head_and_state()
    action, noise = tiny.normal(*SHAPE, seed=5), tiny.normal(*SHAPE, seed=4)
    asked = []

    def velocity(actions, bucket, _tokens, _slots, _memories, clean):
        asked.append((actions, clean))
        return torch.zeros_like(actions)

    monkeypatch.setattr(head, "velocity", velocity)
    draw = FlowDraw(noise, torch.tensor([0.5, 0.5]), torch.zeros(2, dtype=torch.bool), None, DELAYS)
    result = head.loss(backbone, state, SLOTS, action, torch.ones(SHAPE), draw)
    ((noisy, clean),) = asked
    assert clean.tolist() == [[True, True, False, False], [False] * 4]
    torch.testing.assert_close(noisy[0, :2], action[0, :2], rtol=0, atol=0)
    torch.testing.assert_close(noisy[0, 2:], (action + noise)[0, 2:] / 2)
    wrong = (action - noise).square()
    want = (wrong[0, 2:].sum() + wrong[1].sum()) / (6 * ACTION)
    assert result.loss.item() == pytest.approx(want.item(), rel=1e-6)
    assert (result.errors[0, :2] == 0).all()


def test_a_draw_moves_with_its_delay():
    draw = FlowDraw(torch.zeros(SHAPE), torch.zeros(2), torch.zeros(2, dtype=torch.bool))
    moved = dataclasses.replace(draw, delay=DELAYS).to(torch.device("meta"))
    assert moved.delay is not None
    assert moved.delay.is_meta
    assert moved.state_noise is None
