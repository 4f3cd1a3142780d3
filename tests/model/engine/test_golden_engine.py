"""The engine against what NVIDIA's code computed, from raw observations and from tensors."""

import numpy as np
import pytest
import torch
from handover_model.engine.chunk import make_chunk
from handover_model.engine.inputs import chunk_input
from handover_model.engine.layout import find_layout
from handover_model.engine.tables import make_tables, take_weights
from handover_model.policy import GrootPolicy
from handover_model.samples import PreparedSample
from handover_proto.contract import Observation, PolicyRequest

from .. import golden
from ..test_golden_full_model import END_TO_END_ATOL, checkpoint_of, io_cases, raw_observations

pytestmark = pytest.mark.golden


@pytest.mark.parametrize("case", io_cases("in.video."))
def test_the_policy_gives_the_same_actions_through_the_engine(case):
    values, checkpoint = golden.tensors(case), checkpoint_of(case)
    tag = golden.read(case.with_suffix(".json"))["embodiment_tag"]
    processor = checkpoint.processor(tag)
    requests = [
        PolicyRequest(Observation(*observation))
        for observation in raw_observations(case, processor)
    ]
    policy = GrootPolicy(checkpoint, tag, engine="fast")
    outputs = policy.infer_from(requests, list(values["in.noise"].numpy()))
    for key, want in golden.group(values, "out.fp32.action").items():
        got = np.stack([output.action[key] for output in outputs])
        golden.assert_near(got, want, END_TO_END_ATOL, key)


@pytest.mark.parametrize("case", io_cases("in.pixel_values"))
@torch.inference_mode()
def test_a_batch_with_left_padding_gives_the_same_chunk(case):
    """Rows whose embodiments differ are put through the weights of each, and picked."""
    values, network = golden.tensors(case), checkpoint_of(case).network
    pixels = golden.numbered(values, "in.pixel_values")
    # drawn as real numbers: as such, in the units of bytes
    frames = [((image[0] + 1) * 127.5).permute(1, 2, 0).contiguous() for image in pixels]
    samples = [
        PreparedSample((frame.numpy(),), ids[mask == 1].numpy(), state.numpy(), int(slot))
        for frame, ids, mask, state, slot in zip(
            frames,
            values["in.input_ids"],
            values["in.attention_mask"],
            values["in.state"],
            values["in.embodiment_id"],
            strict=True,
        )
    ]
    side = network.eagle.pixels_per_token
    grid = (pixels[0].shape[2] // side, pixels[0].shape[3] // side)
    rows = [sample.input_ids for sample in samples]
    layout = find_layout(rows, [grid], network.eagle.image_token_index)
    assert layout is not None
    inputs, tables = chunk_input(samples, layout, 0), make_tables(network, layout)
    for place, sample in enumerate(samples):
        weights = take_weights(network, sample.embodiment)
        chunk = make_chunk(weights, layout, tables, inputs, values["in.noise"])
        golden.assert_near(
            chunk[place], values["out.action_pred"][place], END_TO_END_ATOL, "action_pred"
        )
