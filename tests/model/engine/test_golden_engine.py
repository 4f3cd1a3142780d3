"""The engine against what NVIDIA's code computed, from raw observations and from tensors."""

import numpy as np
import pytest
import torch
from handover_model.engine.functional.chunk import make_chunk
from handover_model.engine.functional.inputs import chunk_input
from handover_model.engine.functional.tables import make_tables, take_weights
from handover_model.engine.functional.token_layout import TokenLayout, find_layout
from handover_model.network.groot import Gr00tNetwork
from handover_model.policy import build_policy
from handover_model.processing.samples import ByteSample
from handover_proto.types import Observation, PolicyRequest
from torch import Tensor

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
    policy = build_policy(checkpoint, tag, engine="fast")
    outputs = policy.infer_from(requests, list(values["in.noise"].numpy()))
    for key, want in golden.group(values, "out.fp32.action").items():
        got = np.stack([output.action[key] for output in outputs])
        golden.assert_near(got, want, END_TO_END_ATOL, key)


@pytest.mark.parametrize("case", io_cases("in.pixel_values"))
@torch.inference_mode()
def test_a_batch_with_left_padding_gives_the_same_chunk(case):
    """Rows whose embodiments differ are put through the weights of each, and picked.

    Rows whose images differ in size have no layout together: each has its own then.
    """
    values, network = golden.tensors(case), checkpoint_of(case).network
    samples = samples_of(values, network)
    together = layout_of(samples, network)
    for place, sample in enumerate(samples):
        layout = together or layout_of([sample], network)
        assert layout is not None
        batch = samples if together else [sample]
        noise = values["in.noise"] if together else values["in.noise"][place : place + 1]
        inputs, tables = chunk_input(batch, layout, 0), make_tables(network, layout)
        chunk = make_chunk(take_weights(network, sample.embodiment), layout, tables, inputs, noise)
        golden.assert_near(
            chunk[place if together else 0],
            values["out.action_pred"][place],
            END_TO_END_ATOL,
            "action_pred",
        )


def samples_of(values: dict[str, Tensor], network: Gr00tNetwork) -> list[ByteSample]:
    """Give each row the next images, as many as its placeholders stand for."""
    waiting, side = golden.numbered(values, "in.pixel_values"), network.eagle.pixels_per_token
    samples = []
    for place, (ids, mask) in enumerate(
        zip(values["in.input_ids"], values["in.attention_mask"], strict=True)
    ):
        left, frames = int((ids[mask == 1] == network.eagle.image_token_index).sum()), []
        while left > 0:
            image = waiting.pop(0)[0]
            left -= image.shape[1] * image.shape[2] // side**2
            # drawn as real numbers: as such, in the units of bytes
            frames.append(((image + 1) * 127.5).permute(1, 2, 0).contiguous().numpy())
        state, slot = values["in.state"][place].numpy(), int(values["in.embodiment_id"][place])
        samples.append(ByteSample(tuple(frames), ids[mask == 1].numpy(), state, slot))
    assert not waiting
    return samples


def layout_of(samples: list[ByteSample], network: Gr00tNetwork) -> TokenLayout | None:
    side = network.eagle.pixels_per_token
    grids = [
        [(frame.shape[0] // side, frame.shape[1] // side) for frame in sample.frames]
        for sample in samples
    ]
    if any(grid != grids[0] for grid in grids):
        return None
    rows = [sample.input_ids for sample in samples]
    return find_layout(rows, grids[0], network.eagle.image_token_index)
