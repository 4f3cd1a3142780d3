"""Whole checkpoints, from files to actions, against what NVIDIA's code computed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from handover_model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from handover_model.network.flow_matching import FlowDraw
from handover_model.network.groot import ModelInput, TrainingTarget
from handover_model.policy import GrootPolicy
from handover_model.processing.processor import Processor
from handover_proto.types import Limits, Observation, PolicyRequest
from handover_proto.validation import check_request
from torch import Tensor

from . import golden

pytestmark = pytest.mark.golden
END_TO_END_ATOL, BF16_ATOL = 1e-4, 0.05
FEATURES_ATOL, HEAD_ATOL, STATE_ATOL = 5e-5, 1e-5, 1e-6


def io_cases(prefix: str) -> list:
    """List the io files that hold inputs of one kind."""
    found = []
    for case in golden.cases("full_model/io_*.safetensors"):
        (path,) = case.values
        names = golden.tensors(path) if path.is_file() else {}
        if not names or any(name.startswith(prefix) for name in names):
            found.append(case)
    return found


def checkpoint_of(case: Path, dtype: torch.dtype = torch.float32) -> Checkpoint:
    folder = case.parent / case.stem.replace("io_", "ckpt_")
    return load_checkpoint(folder, dtype=dtype, tokenizer=golden.FOLDER / "tokenizer")


def inputs_of(values: dict[str, Tensor]) -> ModelInput:
    return ModelInput(
        golden.numbered(values, "in.pixel_values"),
        values["in.input_ids"],
        values["in.attention_mask"],
        values["in.state"],
        values["in.embodiment_id"],
    )


@pytest.mark.parametrize("case", io_cases("in.pixel_values"))
def test_from_tensors_to_a_chunk(case):
    values, network = golden.tensors(case), checkpoint_of(case).network
    inputs, head = inputs_of(values), network.action_head
    velocities: list[Tensor] = []
    head.action_decoder.register_forward_hook(
        lambda _module, _inputs, output: velocities.append(output)
    )
    with torch.inference_mode():
        features = network.backbone(inputs.images, inputs.input_ids, inputs.attention_mask)
        normed = head.vlln(features.features)
        state = head.encode_state(inputs.state, inputs.embodiment)
        chunk = network.generate(inputs, values["in.noise"])
    real = features.attention_mask
    assert golden.same(real, values["out.backbone.backbone_attention_mask"])
    assert golden.same(features.image_mask, values["out.backbone.image_mask"])
    want = values["out.backbone.backbone_features"]
    golden.assert_near(features.features[real], want[real], FEATURES_ATOL, "features")
    golden.assert_near(normed[real], values["out.vlln_out"][real], FEATURES_ATOL, "vlln_out")
    golden.assert_near(state, values["out.state_features"], HEAD_ATOL, "state_features")
    assert len(velocities) == network.config.num_inference_timesteps
    for step, velocity in enumerate(velocities):
        want = values[f"out.step{step}.velocity"]
        golden.assert_near(
            velocity[:, -want.shape[1] :], want, END_TO_END_ATOL, f"velocity of step {step}"
        )
    golden.assert_near(chunk, values["out.action_pred"], END_TO_END_ATOL, "action_pred")


@pytest.mark.parametrize("case", io_cases("in.train."))
def test_training_loss_of_the_whole_network(case):
    values, network = golden.tensors(case), checkpoint_of(case).network
    noise, time = values.get("in.train.noise", values["in.noise"]), values["in.train.t"]
    uniform = values.get("in.train.dropout_uniform", torch.ones(len(time)))
    draw = FlowDraw(noise, time, uniform < network.config.state_dropout_prob)
    target = TrainingTarget(values["in.train.action"], values["in.train.action_mask"])
    result = network(inputs_of(values), target, draw)
    golden.assert_near(result.errors, values["out.train.action_loss"], 2e-4, "action_loss")
    golden.assert_near(result.loss.reshape(1), values["out.train.loss"], 1e-5, "loss")


def raw_observations(case: Path, processor: Processor) -> list[tuple[dict, dict, str]]:
    values, described = golden.tensors(case), golden.read(case.with_suffix(".json"))
    cameras, states = golden.group(values, "in.video"), golden.group(values, "in.state")
    (language_key,) = processor.codec.modality.language.keys
    tasks = [task for (task,) in described["language"][language_key]]
    assert processor.tag == described["embodiment_tag"]
    assert list(processor.codec.modality.video.keys) == described["cameras"]
    return [
        (
            {name: list(frames[sample]) for name, frames in cameras.items()},
            {name: state[sample] for name, state in states.items()},
            task,
        )
        for sample, task in enumerate(tasks)
    ]


@pytest.mark.parametrize("case", io_cases("in.video."))
def test_from_raw_observations_to_model_inputs(case):
    values, checkpoint = golden.tensors(case), checkpoint_of(case)
    processor = checkpoint.processor(golden.read(case.with_suffix(".json"))["embodiment_tag"])
    inputs = processor.collate(
        [processor.prepare(*one).scaled() for one in raw_observations(case, processor)]
    )
    start = "out.model_input"
    assert golden.same(inputs.input_ids, values[f"{start}.input_ids"])
    assert golden.same(inputs.attention_mask, values[f"{start}.attention_mask"])
    assert golden.same(inputs.embodiment, values[f"{start}.embodiment_id"])
    golden.assert_near(inputs.state, values[f"{start}.state"], STATE_ATOL, "state")
    frames = golden.numbered(values, f"{start}.vision_u8_hwc")
    for image, frame in zip(inputs.images, frames, strict=True):
        want = (frame.permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.5
        golden.assert_near(image, want, 1e-6, "image")


@pytest.mark.parametrize("case", io_cases("in.video."))
@pytest.mark.parametrize(
    ("dtype", "name", "atol"),
    [(torch.float32, "fp32", END_TO_END_ATOL), (torch.bfloat16, "bf16", BF16_ATOL)],
)
def test_from_raw_observations_to_actions(case, dtype, name, atol):
    values, checkpoint = golden.tensors(case), checkpoint_of(case, dtype)
    processor = checkpoint.processor(golden.read(case.with_suffix(".json"))["embodiment_tag"])
    observations = raw_observations(case, processor)
    inputs = processor.collate([processor.prepare(*one).scaled() for one in observations])
    network = checkpoint.network
    with torch.inference_mode():
        inputs = inputs.to(torch.device("cpu"), dtype)
        features = network.backbone(inputs.images, inputs.input_ids, inputs.attention_mask)
        chunk = network.generate(inputs, values["in.noise"])
    if dtype == torch.float32:
        real = features.attention_mask
        assert golden.same(real, values["out.backbone.backbone_attention_mask"])
        assert golden.same(features.image_mask, values["out.backbone.image_mask"])
        want = values["out.backbone.backbone_features"]
        golden.assert_near(features.features[real], want[real], FEATURES_ATOL, "features")
    golden.assert_near(chunk, values[f"out.{name}.action_pred_normalised"], atol, "chunk")
    states = golden.group(values, "in.state")
    actions = processor.decode(chunk.numpy(), states)
    wanted = golden.group(values, f"out.{name}.action")
    assert set(actions) == set(wanted)
    for key, want in wanted.items():
        assert actions[key].dtype == np.float32
        golden.assert_near(actions[key], want, atol, key)


@pytest.mark.parametrize("case", io_cases("in.video."))
def test_the_policy_gives_the_same_actions(case):
    values, checkpoint = golden.tensors(case), checkpoint_of(case)
    tag = golden.read(case.with_suffix(".json"))["embodiment_tag"]
    policy, processor = GrootPolicy(checkpoint, tag), checkpoint.processor(tag)
    requests = [
        PolicyRequest(Observation(*observation))
        for observation in raw_observations(case, processor)
    ]
    for request in requests:
        check_request(request, policy.spec, Limits())
    outputs = policy.infer_from(requests, list(values["in.noise"].numpy()))
    for key, want in golden.group(values, "out.fp32.action").items():
        got = np.stack([output.action[key] for output in outputs])
        golden.assert_near(got, want, END_TO_END_ATOL, key)
