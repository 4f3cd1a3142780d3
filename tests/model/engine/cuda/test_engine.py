"""The engine of buckets, with plain calls in place of CUDA graphs; with them where a GPU is."""

import dataclasses

import numpy as np
import pytest
import torch
from handover_model.engine.cuda.cuda_graph import CapturedChunk
from handover_model.engine.cuda.engine import CudaGraphEngine
from handover_model.network.real_time_chunking import PrefixGuide

from ...tiny import network
from ..inputs import PAD, layout_of, noise_of, reference_input, samples

GRIDS = ((2, 3),)


def replayed(chunk, inputs, _pool):
    """As a graph does it: into the static inputs, and a copy of what comes out."""

    def replay(given):
        for static, fresh in zip(inputs, given, strict=True):
            static.copy_(fresh)
        with torch.no_grad():
            return chunk(*inputs).clone()

    return replay


def engine_of(net, largest_batch=4, capture=replayed):
    (probe,) = samples((1,), GRIDS)
    return CudaGraphEngine(net, 0, PAD, probe, largest_batch, capture)


def wanted(net, batch, noise):
    with torch.no_grad():
        return net.generate(reference_input(batch, layout_of(batch)), torch.from_numpy(noise))


def test_batches_that_fill_a_bucket_or_not_equal_the_reference():
    net = network()
    engine = engine_of(net)
    for texts in ((3,), (1, 9), (4, 9, 6), (2, 3, 4, 5), (20,)):
        batch = samples(texts, GRIDS)
        noise = noise_of(net, len(batch)).numpy()
        answer = engine.run(batch, noise)
        assert answer is not None
        want = wanted(net, batch, noise)
        np.testing.assert_allclose(answer.chunks, want.numpy(), atol=2e-5)


def test_what_has_no_bucket_is_left_to_the_modules():
    net = network()
    engine = engine_of(net)
    noise = noise_of(net, 1)
    assert engine.run(samples((3,), ((2, 2),)), noise.numpy()) is None  # other frames
    assert engine.run(samples((90,), GRIDS), noise.numpy()) is None  # a longer instruction
    assert engine.run(samples((3,) * 5, GRIDS), noise_of(net, 5).numpy()) is None  # more rows
    (other,) = samples((3,), GRIDS)
    assert engine.run([dataclasses.replace(other, embodiment=1)], noise.numpy()) is None
    guide = PrefixGuide(noise, torch.ones_like(noise), noise > 0)
    assert engine.run([other], noise.numpy(), guide) is None


@pytest.mark.gpu
def test_cuda_graphs_equal_the_reference():
    net = network().cuda()

    def capture(chunk, inputs, pool):
        return CapturedChunk(chunk, inputs, pool)

    engine = engine_of(net, capture=capture)
    batch = samples((4, 9, 6), GRIDS)
    noise = noise_of(net, 3).numpy()
    answer = engine.run(batch, noise)
    assert answer is not None
    want = wanted(net.cpu(), batch, noise)
    np.testing.assert_allclose(answer.chunks, want.numpy(), atol=1e-3)
