"""The whole chunk can be captured and compiled: no shape depends on data, nothing reads the host.

Checked without a GPU: fake tensors refuse what needs a value (item, nonzero, a boolean index),
export writes down every operation, and dynamo with fullgraph refuses to break.
"""

import pytest
import torch
from handover_model.engine.cuda.buckets import find_bucket, make_buckets, stretch
from handover_model.engine.cuda.chunk_module import ChunkModule, empty_inputs
from handover_model.engine.functional.tables import make_tables, take_weights
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)

from ...tiny import EAGLE, network
from ..inputs import engine_input, layout_of, noise_of, reference_input, samples

HOST = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "aten.item", "lift_fresh")
ONE_IMAGE, TWO_SIZES = ((2, 2),), ((2, 3), (3, 2))


def buckets_of(grids, batch=2):
    return make_buckets(layout_of(samples((1,), grids)), batch)


def chunk_of(net, layout):
    return ChunkModule(take_weights(net, 0), layout, make_tables(net, layout)).eval()


def inputs_of(net, layout):
    config = net.config
    state, noise = (1, config.max_state_dim), (config.action_horizon, config.max_action_dim)
    cpu, dtype = torch.device("cpu"), net.action_head.dtype
    return empty_inputs(layout, EAGLE.pixels_per_token, state, noise, cpu, dtype)


@pytest.mark.parametrize("grids", [ONE_IMAGE, TWO_SIZES], ids=["one image", "two sizes"])
@torch.no_grad()
def test_a_batch_in_a_bucket_equals_the_reference(grids):
    net, batch = network(), samples((3, 9), grids)
    layout = layout_of(batch)
    bucket = find_bucket(buckets_of(grids, 4), layout)
    assert bucket is not None
    padded, noise = bucket.layout, noise_of(net, 2)
    want = net.generate(reference_input(batch, padded), noise)
    given = engine_input(batch, padded)
    assert given.real is not None
    got = chunk_of(net, padded)(given.text_ids, given.real, given.state, noise, *given.frames)
    torch.testing.assert_close(got, want, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("grids", [ONE_IMAGE, TWO_SIZES], ids=["one image", "two sizes"])
@torch.no_grad()
def test_no_value_is_needed_to_run_a_bucket(grids):
    net, buckets = network(), buckets_of(grids)
    for bucket in (buckets[0], buckets[-1]):
        chunk, inputs = chunk_of(net, bucket.layout), inputs_of(net, bucket.layout)
        mode = FakeTensorMode(allow_non_fake_inputs=True)
        with mode:
            output = chunk(*[mode.from_tensor(tensor) for tensor in inputs])
        assert output.shape == (bucket.rows, net.config.action_horizon, net.config.max_action_dim)


@torch.no_grad()
def test_the_exported_graph_reads_nothing_back_and_moves_nothing():
    net = network()
    layout = buckets_of(TWO_SIZES)[-1].layout
    chunk, inputs = chunk_of(net, layout), inputs_of(net, layout)
    exported = torch.export.export(chunk, tuple(inputs), strict=False)
    nodes = [node for node in exported.graph.nodes if node.op == "call_function"]
    names = [str(node.target) for node in nodes]
    assert not [name for name in names if any(word in name for word in HOST)]
    assert not [name for name in names if "aten.index." in name]  # a gather by positions or bools
    shapes = [node.meta["val"].shape for node in nodes if hasattr(node.meta.get("val"), "shape")]
    assert all(isinstance(size, int) for shape in shapes for size in shape)


def test_the_checks_see_a_function_that_is_not_safe():
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    values = mode.from_tensor(torch.ones(3))
    with mode, pytest.raises(DynamicOutputShapeException):
        values.nonzero()
    with mode, pytest.raises(DataDependentOutputException):
        values.sum().item()


@torch.no_grad()
def test_the_whole_chunk_is_one_graph_for_the_compiler():
    net = network()
    layout = buckets_of(ONE_IMAGE)[0].layout
    chunk, inputs = chunk_of(net, layout), inputs_of(net, layout)
    compiled = torch.compile(chunk, backend="eager", fullgraph=True, dynamic=False)
    torch.testing.assert_close(compiled(*inputs), chunk(*inputs))


def test_the_smallest_bucket_that_fits_is_taken():
    buckets = buckets_of(ONE_IMAGE, 16)
    assert len(buckets) == 15
    row = layout_of(samples((3, 4, 5), ONE_IMAGE))
    found = find_bucket(buckets, row)
    assert found is not None
    assert (found.rows, found.layout.length) == (4, 16)
    assert find_bucket(buckets, layout_of(samples((90,), ONE_IMAGE))) is None  # too long
    assert find_bucket(buckets, layout_of(samples((3,), TWO_SIZES))) is None  # other frames
    assert stretch(row, 4, 16).images == ((11, 15),)
