"""The action head against what NVIDIA's code computed on the same inputs and weights."""

import dataclasses
from pathlib import Path

import pytest
import torch
from handover_model.network.action_head import ActionHead
from handover_model.network.backbone import BackboneOutput
from handover_model.network.config import parse_config
from handover_model.network.dit import TIME_WIDTH
from handover_model.network.flow_matching import FlowDraw, flow_point
from handover_model.network.timestep_embedding import dit_sinusoid
from torch import Tensor, nn

from .. import golden

pytestmark = pytest.mark.golden
HEAD = "action_head."


def head_of(case: Path, extra: dict[str, Tensor] | None = None) -> ActionHead:
    config = parse_config(golden.read(case.parent / "config.json"))
    weights = {**golden.tensors(case.parent / "weights.safetensors"), **(extra or {})}
    if f"{HEAD}mask_token" in weights and config.state_dropout_prob == 0:
        config = dataclasses.replace(config, state_dropout_prob=0.5)
    head = ActionHead(config).eval()
    head.load_state_dict({key.removeprefix(HEAD): value for key, value in weights.items()})
    return head


def backbone_of(
    values: dict[str, Tensor], features: str = "in.backbone_features"
) -> BackboneOutput:
    return BackboneOutput(
        values[features], values["in.backbone_attention_mask"], values["in.image_mask"]
    )


def record(modules: dict[str, nn.Module]) -> dict[str, list[Tensor]]:
    outputs: dict[str, list[Tensor]] = {name: [] for name in modules}
    for name, module in modules.items():
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: outputs[name].append(output)
        )
    return outputs


@pytest.mark.parametrize("case", golden.cases("action_head/dit_forward*.safetensors"))
def test_one_pass_of_the_transformer(case, monkeypatch):
    values, head = golden.tensors(case), head_of(case)
    # the last bit of exp differs between CPUs and is multiplied by up to 999: compared by itself,
    # with the wider tolerance that the specification has for it
    waves = values["out.timestep_sinusoid_256"]
    golden.assert_near(dit_sinusoid(values["in.timestep"], TIME_WIDTH), waves, 1e-4, "sinusoid")
    monkeypatch.setattr("handover_model.network.dit.dit_sinusoid", lambda *_: waves[:, None])
    dit, parts = head.model, {"temb": head.model.timestep_encoder}
    parts["proj_out_1_out_shift_then_scale"] = dit.proj_out_1
    parts["norm_out_plain"] = dit.norm_out
    inner = {"norm1_out": "norm1", "attn_out": "attn1", "norm3_out": "norm3", "ff_out": "ff"}
    for number, block in enumerate(dit.transformer_blocks):
        parts[f"hidden_after_block_{number}"] = block
        for name, module in inner.items():
            parts[f"block{number}.{name}"] = getattr(block, module)
    outputs = record(parts)
    with torch.no_grad():
        memories = dit.remember(
            values["in.encoder_hidden_states"], backbone_of(values, "in.encoder_hidden_states")
        )
        before: list[Tensor] = []
        dit.proj_out_2.register_forward_pre_hook(lambda _m, inputs: before.append(inputs[0]))
        got = dit(values["in.hidden_states"], values["in.timestep"][:, None], memories)
    found = {name: tensor[0] for name, tensor in outputs.items()}
    for name in ("temb", "proj_out_1_out_shift_then_scale"):
        found[name] = found[name][:, 0]  # one timestep for all tokens
    found |= {"output": got, "before_proj_out_2": before[0]}
    found["hidden_input"] = values["in.hidden_states"]
    wanted = golden.group(values, "out")
    wanted.pop("timestep_sinusoid_256")
    assert set(wanted) <= set(found)
    for name, want in wanted.items():
        golden.assert_near(found[name], want, 1e-5, name)


@pytest.mark.parametrize("case", golden.cases("action_head/infer*.safetensors"))
def test_a_chunk_is_denoised_step_by_step(case):
    values, head = golden.tensors(case), head_of(case)
    outputs = record(
        {
            "action_features_before_pos": head.action_encoder,
            "dit_output": head.model,
            "decoder_output": head.action_decoder,
            "vlln": head.vlln,
            "state": head.state_encoder,
        }
    )
    inputs: list[tuple[Tensor, Tensor]] = []
    head.model.register_forward_pre_hook(lambda _m, args: inputs.append((args[0], args[1][:, 0])))
    chunks: list[Tensor] = []
    head.action_encoder.register_forward_pre_hook(lambda _m, args: chunks.append(args[0]))
    with torch.no_grad():
        got = head.generate(
            backbone_of(values), values["in.state"], values["in.embodiment_id"], values["in.noise"]
        )
    assert len(inputs) == head.config.num_inference_timesteps
    chunks.append(got)
    for step, (tokens, bucket) in enumerate(inputs):
        name = f"out.step{step}"
        assert golden.same(bucket, values[f"{name}.timestep"])
        golden.assert_near(tokens, values[f"{name}.sa_embs"], 1e-5, f"{name}.sa_embs")
        for part in ("action_features_before_pos", "dit_output", "decoder_output"):
            golden.assert_near(outputs[part][step], values[f"{name}.{part}"], 1e-5, part)
        golden.assert_near(chunks[step + 1], values[f"{name}.actions_after"], 2e-5, name)
    golden.assert_near(outputs["vlln"][0], values["out.vlln_out"], 1e-5, "vlln_out")
    golden.assert_near(outputs["state"][0], values["out.state_features"], 1e-5, "state_features")
    golden.assert_near(got, values["out.action_pred"], 2e-5, "action_pred")


def training_pass(case: Path):
    values = golden.tensors(case)
    head = head_of(case, golden_weights(values))
    uniform = values.get("in.dropout_uniform", torch.ones(len(values["in.t"])))
    draw = FlowDraw(values["in.noise"], values["in.t"], uniform < head.config.state_dropout_prob)
    outputs = record({"decoder_output": head.action_decoder})
    seen: list[Tensor] = []
    head.model.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    result = head.loss(
        backbone_of(values),
        values["in.state"],
        values["in.embodiment_id"],
        values["in.action"],
        values["in.action_mask"],
        draw,
    )
    state_tokens = seen[0][:, : values["in.state"].shape[1]]
    return values, head, result, outputs["decoder_output"][0], state_tokens


def golden_weights(values: dict[str, Tensor]) -> dict[str, Tensor]:
    start = "weight."
    return {key[len(start) :]: value for key, value in values.items() if key.startswith(start)}


@pytest.mark.parametrize("case", golden.cases("action_head/train*.safetensors"))
def test_the_training_loss_and_what_it_is_made_of(case):
    values, head, result, decoded, state_tokens = training_pass(case)
    point = flow_point(
        values["in.action"], values["in.noise"], values["in.t"], head.config.num_timestep_buckets
    )
    assert golden.same(point.bucket, values["out.t_discretized"])
    golden.assert_near(point.noisy, values["out.noisy_trajectory"], 1e-6, "noisy_trajectory")
    golden.assert_near(point.velocity, values["out.velocity_target"], 1e-6, "velocity_target")
    golden.assert_near(state_tokens, values["out.state_features_used"], 1e-5, "state features")
    golden.assert_near(decoded, values["out.decoder_output"], 1e-5, "decoder_output")
    golden.assert_near(result.errors, values["out.action_loss"], 2e-4, "action_loss")
    golden.assert_near(result.loss.reshape(1), values["out.loss"], 1e-5, "loss")


@pytest.mark.parametrize("case", golden.cases("action_head/train*.safetensors"))
def test_the_gradient_of_every_weight(case):
    wanted = golden.read(case.parent / "train_grad_stats.json")[case.stem]
    _, head, result, _, _ = training_pass(case)
    result.loss.backward()
    weights = dict(head.named_parameters())
    assert set(weights) == set(wanted["grad_stats"]) | set(wanted["no_grad"])
    assert all(weights[name].grad is None for name in wanted["no_grad"])
    for name, statistics in wanted["grad_stats"].items():
        gradient = weights[name].grad
        assert gradient is not None, name
        # a gradient that is zero in exact arithmetic holds rounding noise alone
        norm = float(gradient.double().norm())
        assert norm == pytest.approx(statistics["l2"], rel=1e-4, abs=1e-7), name
