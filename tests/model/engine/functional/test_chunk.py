"""The engine gives what the reference path gives, to float32 rounding, for every layout."""

import dataclasses

import pytest
import torch
from handover_model.engine.functional.chunk import make_chunk
from handover_model.engine.functional.prompt_kv_cache import make_start, split_start
from handover_model.engine.functional.tables import make_tables, take_weights
from handover_model.network.config import DitConfig

from ...tiny import CONFIG, network
from ..inputs import engine_input, layout_of, noise_of, reference_input, samples

LAYOUTS = {
    "one row": ((5,), ((2, 2),), 1),
    "one row, padded to a bucket": ((5,), ((2, 2),), 16),
    "rows of different lengths": ((3, 9, 6), ((2, 3),), 1),
    "a batch in a bucket": ((3, 9), ((2, 3),), 16),
    "two images of one size": ((4, 7), ((2, 2), (2, 2)), 1),
    "two images of two sizes": ((4, 7), ((2, 3), (3, 2)), 8),
    "text after images only": ((1,), ((2, 2),), 1),
}
NETWORKS = {
    "as published, smaller": {},
    "text in every block of three": {
        "attend_text_every_n_blocks": 3,
        "diffusion_model_cfg": DitConfig(
            num_layers=7, num_attention_heads=2, attention_head_dim=8, output_dim=12
        ),
    },
    "every block crosses": {
        "diffusion_model_cfg": dataclasses.replace(
            CONFIG.diffusion_model_cfg, interleave_self_attention=False
        )
    },
    "one step, no norm of features, no positions": {
        "num_inference_timesteps": 1,
        "use_vlln": False,
        "add_pos_embed": False,
    },
}


@pytest.mark.parametrize("changes", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize(("texts", "grids", "multiple"), LAYOUTS.values(), ids=LAYOUTS)
@torch.inference_mode()
def test_the_engine_equals_the_reference(texts, grids, multiple, changes):
    net = network(**changes)
    slot = len(texts) % net.config.max_num_embodiments
    batch = samples(texts, grids, slot)
    layout, noise = layout_of(batch, multiple), noise_of(net, len(batch))
    want = net.generate(reference_input(batch, layout), noise)
    weights, tables = take_weights(net, slot), make_tables(net, layout)
    got = make_chunk(weights, layout, tables, engine_input(batch, layout), noise)
    torch.testing.assert_close(got, want, atol=2e-5, rtol=1e-5)
    # the modules' weights are views of the engine's now, with the same values
    again = net.generate(reference_input(batch, layout), noise)
    torch.testing.assert_close(again, want, atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize("grids", [((2, 2),), ((2, 3), (3, 2))])
@torch.inference_mode()
def test_a_prefix_computed_apart_changes_nothing(grids):
    net, batch = network(), samples((6,), grids)
    layout = layout_of(batch)
    noise = noise_of(net, 1)
    want = net.generate(reference_input(batch, layout), noise)
    weights, apart = take_weights(net, 0), split_start(layout)
    ids = torch.from_numpy(batch[0].input_ids[None, : apart.known])
    start = make_start(weights, net.backbone.model.language_model, ids)
    inputs = engine_input(batch, apart)
    got = make_chunk(weights, apart, make_tables(net, apart), inputs, noise, start)
    torch.testing.assert_close(got, want, atol=2e-5, rtol=1e-5)
