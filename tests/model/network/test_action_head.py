import numpy as np
import pytest
import torch
from handover_model.network.backbone import BackboneOutput
from handover_model.network.dit import TokenTimes
from handover_model.network.flow_matching import FlowDraw, draw_flow, flow_point
from handover_model.network.timestep_embedding import action_sinusoid, dit_sinusoid

from .. import tiny

HORIZON, ACTION, STATE = 4, tiny.CONFIG.max_action_dim, tiny.CONFIG.max_state_dim
SLOTS = torch.tensor([0, 2])


def draw_of(samples: int = 2, **changes) -> FlowDraw:
    values = {
        "noise": tiny.normal(samples, HORIZON, ACTION, seed=4),
        "time": torch.linspace(0.2, 0.9, samples),
        "drops_state": torch.zeros(samples, dtype=torch.bool),
    }
    return FlowDraw(**{**values, **changes})


def loss_of(head, mask=None, **changes):
    backbone = tiny.backbone_output()
    mask = torch.ones(2, HORIZON, ACTION) if mask is None else mask
    action = tiny.normal(2, HORIZON, ACTION, seed=5)
    state = tiny.normal(2, 1, STATE, seed=6)
    return head.loss(backbone, state, SLOTS, action, mask, draw_of(**changes))


def test_both_sinusoids_are_those_of_their_formulas():
    bucket = torch.tensor([0, 250, 999])
    angle = 250 * np.exp(-3 * np.log(10000) / 8)
    waves = action_sinusoid(bucket, 16)[1]
    assert waves[3].item() == pytest.approx(np.sin(angle), abs=1e-4)
    assert waves[8 + 3].item() == pytest.approx(np.cos(angle), abs=1e-4)
    angle = 999 * np.exp(-3 * np.log(10000) / 7)
    waves = dit_sinusoid(bucket, 16)[2]
    assert waves[3].item() == pytest.approx(np.cos(angle), abs=1e-4)
    assert waves[8 + 3].item() == pytest.approx(np.sin(angle), abs=1e-4)


def numpy_block(block, x, time, memory, mask):
    """One block, written out in numpy: (T, width) tokens of one sample."""
    w = {name: weight.detach().double().numpy() for name, weight in block.named_parameters()}

    def linear(name, values):
        return values @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(values):
        centered = values - values.mean(-1, keepdims=True)
        return centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5)

    scale, shift = np.split(linear("norm1.linear", time / (1 + np.exp(-time))), 2)
    y = norm(x) * (1 + scale) + shift
    source = y if memory is None else memory[mask]
    query, key, value = (
        linear(f"attn1.to_{name}", values).reshape(len(values), 2, 8)
        for name, values in (("q", y), ("k", source), ("v", source))
    )
    scores = np.einsum("thd,shd->hts", query, key) / np.sqrt(8)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    mixed = np.einsum("hts,shd->thd", weights, value).reshape(len(x), 16)
    x = x + linear("attn1.to_out.0", mixed)
    inner = linear("ff.net.0.proj", norm(x))
    gelu = 0.5 * inner * (1 + np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3)))
    return x + linear("ff.net.2", gelu)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_block_is_what_its_equations_say(number):
    dit, backbone = tiny.network().action_head.model, tiny.backbone_output()
    tokens, time = tiny.normal(2, 5, 16), tiny.normal(2, 16, seed=8)
    with torch.no_grad():
        memory = dit.remember(backbone.features, backbone)[number]
        times = TokenTimes(time[:, None], None)
        got = dit.transformer_blocks[number](tokens, times, memory).numpy()
    text = backbone.attention_mask & ~backbone.image_mask
    mask = (text, None, backbone.image_mask)[number]  # block 0 reads text, 1 itself, 2 images
    for sample in range(2):
        want = numpy_block(
            dit.transformer_blocks[number],
            tokens[sample].double().numpy(),
            time[sample].double().numpy(),
            None if mask is None else backbone.features[sample].double().numpy(),
            None if mask is None else mask[sample].numpy(),
        )
        np.testing.assert_allclose(got[sample], want, atol=1e-5)


def test_a_sample_without_images_gives_finite_actions():
    head, backbone = tiny.network().action_head, tiny.backbone_output()
    blind = BackboneOutput(
        backbone.features, backbone.attention_mask, torch.zeros_like(backbone.image_mask)
    )
    noise, state = tiny.normal(2, HORIZON, ACTION), tiny.normal(2, 1, STATE)
    with torch.no_grad():
        assert torch.isfinite(head.generate(blind, state, SLOTS, noise)).all()


def test_the_variant_without_alternation_reads_everything():
    head, backbone = tiny.network(use_alternate_vl_dit=False).action_head, tiny.backbone_output()
    memories = head.remember(backbone)
    assert [memory is None for memory in memories] == [False, True, False, True]
    assert all(memory is None or memory.mask is None for memory in memories)


def test_a_chunk_follows_a_constant_velocity(monkeypatch):
    head = tiny.network(num_inference_timesteps=5).action_head
    buckets, velocity = [], tiny.normal(2, HORIZON, ACTION, seed=3)

    def constant(_actions, bucket, *_rest):
        buckets.append(bucket.tolist())
        return velocity

    monkeypatch.setattr(head, "velocity", constant)
    noise = tiny.normal(2, HORIZON, ACTION)
    got = head.generate(tiny.backbone_output(), tiny.normal(2, 1, STATE), SLOTS, noise)
    torch.testing.assert_close(got, noise + velocity)
    assert buckets == [[bucket, bucket] for bucket in (0, 200, 400, 600, 800)]


def test_each_embodiment_has_weights_of_its_own():
    head, backbone = tiny.network().action_head, tiny.backbone_output()
    noise, state = tiny.normal(2, HORIZON, ACTION), tiny.normal(2, 1, STATE)

    def chunks():
        with torch.no_grad():
            return head.generate(backbone, state, SLOTS, noise)

    before = chunks()
    with torch.no_grad():
        for part in (head.state_encoder, head.action_encoder, head.action_decoder):
            for weight in part.parameters():
                weight[2] += 0.1
    after = chunks()
    torch.testing.assert_close(after[0], before[0])
    assert (after[1] - before[1]).abs().max() > 1e-3


def test_the_loss_is_the_masked_error_over_the_whole_batch(monkeypatch):
    head = tiny.network().action_head
    predicted = tiny.normal(2, HORIZON, ACTION, seed=9)
    monkeypatch.setattr(head, "velocity", lambda *_arguments: predicted)
    mask = torch.zeros(2, HORIZON, ACTION)
    mask[0, :2, :3] = 1
    mask[1, :1, :1] = 1
    result = loss_of(head, mask)
    target = tiny.normal(2, HORIZON, ACTION, seed=5) - tiny.normal(2, HORIZON, ACTION, seed=4)
    want = ((predicted - target).numpy() ** 2)[mask.numpy() == 1].sum() / 7
    assert result.loss.item() == pytest.approx(want, rel=1e-6)
    assert (result.errors[mask == 0] == 0).all()


def test_the_loss_asks_for_the_velocity_at_the_drawn_time(monkeypatch):
    head, asked = tiny.network().action_head, []

    def velocity(actions, bucket, *_rest):
        asked.append((actions, bucket.tolist()))
        return actions

    monkeypatch.setattr(head, "velocity", velocity)
    loss_of(head, time=torch.tensor([0.0, 0.75]))
    ((noisy, bucket),) = asked
    action, noise = (tiny.normal(2, HORIZON, ACTION, seed=seed) for seed in (5, 4))
    assert bucket == [0, 750]
    torch.testing.assert_close(noisy[0], noise[0])
    torch.testing.assert_close(noisy[1], 0.25 * noise[1] + 0.75 * action[1])


def test_a_velocity_is_read_at_the_actions_and_not_at_the_state():
    head, backbone = tiny.network().action_head, tiny.backbone_output()
    actions, bucket = tiny.normal(2, HORIZON, ACTION), torch.tensor([100, 700])
    state_tokens, memories = tiny.normal(2, 1, 16, seed=3), head.remember(backbone)
    with torch.no_grad():
        got = head.velocity(actions, bucket, state_tokens, SLOTS, memories)
        tokens = head.action_encoder(actions, bucket[:, None], SLOTS)
        tokens = tokens + head.position_embedding.weight[:HORIZON]
        output = head.model(torch.cat([state_tokens, tokens], dim=1), bucket[:, None], memories)
        torch.testing.assert_close(got, head.action_decoder(output[:, 1:], SLOTS))


def test_a_batch_without_real_actions_has_no_loss():
    assert loss_of(tiny.network().action_head, torch.zeros(2, HORIZON, ACTION)).loss == 0


def test_gradient_reaches_only_the_embodiments_of_the_batch():
    head = tiny.network().action_head
    loss_of(head).loss.backward()
    for part in (head.state_encoder, head.action_encoder, head.action_decoder):
        for name, weight in part.named_parameters():
            assert weight.grad[1].abs().max() == 0, name
            assert weight.grad[[0, 2]].abs().max() > 0, name
    assert head.position_embedding.weight.grad[HORIZON:].abs().max() == 0
    assert head.position_embedding.weight.grad[:HORIZON].abs().min(dim=1).values.max() > 0


def test_a_dropped_state_does_not_matter_and_trains_the_mask_token():
    head = tiny.network(state_dropout_prob=0.5).action_head
    dropped = torch.tensor([True, True])
    loss_of(head, drops_state=dropped).loss.backward()
    assert head.mask_token.grad.abs().max() > 0
    assert head.state_encoder.layer1.W.grad.abs().max() == 0
    kept = loss_of(head).loss.item()
    assert kept != pytest.approx(loss_of(head, drops_state=dropped).loss.item())


def test_noise_on_the_state_moves_the_loss():
    head = tiny.network(state_additive_noise_scale=0.5).action_head
    blurred = loss_of(head, state_noise=tiny.normal(2, 1, 16)).loss.item()
    assert blurred != pytest.approx(loss_of(head).loss.item())


def test_a_flow_starts_at_noise_and_ends_at_the_action():
    action, noise = tiny.normal(2, HORIZON, ACTION, seed=1), tiny.normal(2, HORIZON, ACTION, seed=2)
    point = flow_point(action, noise, torch.tensor([0.0, 1.0]), 1000)
    torch.testing.assert_close(point.noisy[0], noise[0])
    torch.testing.assert_close(point.noisy[1], action[1])
    torch.testing.assert_close(point.velocity, action - noise)
    assert flow_point(action, noise, torch.tensor([0.5559, 0.9989]), 1000).bucket.tolist() == [
        555,
        998,
    ]


def test_the_time_of_bfloat16_actions_stays_exact():
    action = tiny.normal(1, HORIZON, ACTION).bfloat16()
    point = flow_point(action, action, torch.tensor([0.7773]), 1000)
    assert point.bucket.item() == 777
    assert point.noisy.dtype == torch.float32


def test_draws_repeat_and_have_the_stated_spread():
    config = tiny.network(state_dropout_prob=0.3, state_additive_noise_scale=2.0).config
    draws = [draw_flow(config, 20000, np.random.default_rng(7)) for _ in range(2)]
    for name in ("noise", "time", "drops_state", "state_noise"):
        assert torch.equal(getattr(draws[0], name), getattr(draws[1], name)), name
    draw = draws[0]
    assert draw.time.dtype == draw.noise.dtype == torch.float32
    assert draw.time.min() >= 0
    assert draw.time.max() <= config.noise_s
    # 1 - Beta(1.5, 1) has mean 0.4 and deviation 0.2619
    assert draw.time.mean().item() == pytest.approx(0.4 * config.noise_s, abs=0.01)
    assert draw.time.std().item() == pytest.approx(0.2619, abs=0.01)
    assert draw.drops_state.float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert draw.state_noise.std().item() == pytest.approx(2.0, abs=0.02)
    assert draw_flow(config, 2, np.random.default_rng(7), training=False).state_noise is None


def test_times_end_before_the_action_and_each_state_step_has_noise_of_its_own():
    config = tiny.network(noise_s=0.5, state_additive_noise_scale=2.0).config
    draw = draw_flow(config, 1000, np.random.default_rng(7), state_steps=3)
    assert draw.time.mean().item() == pytest.approx(0.2, abs=0.02)
    assert draw.time.max() <= 0.5
    assert draw.state_noise.shape == (1000, 3, config.input_embedding_dim)
