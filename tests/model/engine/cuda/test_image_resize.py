"""Frames prepared as products of matrices are the processor's but for a few gray levels."""

import numpy as np
import pytest
import torch
from handover_model.engine.cuda.engine import CudaGraphEngine
from handover_model.engine.cuda.image_resize import (
    KEPT_SIZES,
    DeviceImageResizer,
    apply_resizes,
    can_prepare,
    plan_resizes,
)
from handover_model.processing.image import ImageOptions, prepare_frame, prepared_size, to_pixels
from handover_model.processing.samples import ByteSample, RawSample
from torch._subclasses.fake_tensor import FakeTensorMode

from ...tiny import EAGLE, IMAGE_TOKEN, network
from ..inputs import PAD, layout_of, noise_of, reference_input
from .test_chunk_module import HOST
from .test_engine import replayed

CPU = torch.device("cpu")
SIDE = EAGLE.pixels_per_token
PUBLISHED, SHIPPED = ImageOptions(), ImageOptions(shortest_image_edge=168)
LEVELS = 3  # of 255, at most: each of three roundings may fall to the other side
USUAL_LEVELS = 2  # for frames that are not enlarged first


def noise(height, width):
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def edges(height, width):
    """Black and white squares: what overshoots most."""
    squares = np.random.default_rng(width).integers(0, 2, (height // 8 + 1, width // 8 + 1, 3))
    return (255 * squares).astype(np.uint8).repeat(8, 0).repeat(8, 1)[:height, :width]


@pytest.mark.parametrize("draw", [noise, edges])
@pytest.mark.parametrize(
    "options",
    [
        PUBLISHED,
        SHIPPED,
        ImageOptions(crop_fraction=None),
        ImageOptions(shortest_image_edge=None),
        ImageOptions(shortest_image_edge=None, crop_fraction=None),
    ],
    ids=["published", "shipped", "no crop", "no edge", "neither"],
)
@pytest.mark.parametrize(
    "size", [(256, 256), (480, 640), (640, 480), (512, 512), (100, 75), (168, 168), (252, 252)]
)
def test_frames_are_the_processors_within_a_few_gray_levels(size, options, draw):
    frame = draw(*size)
    want = prepare_frame(frame, options, SIDE).astype(int)
    (got,) = DeviceImageResizer(options, SIDE, CPU)([frame]).numpy().astype(int)
    apart = got - want
    enlarged = min(size) < (options.shortest_image_edge or 0)
    assert np.abs(apart).max() <= (LEVELS if enlarged else USUAL_LEVELS)
    assert (apart != 0).mean() < 0.15
    assert abs(apart.mean()) < 0.05  # neither brighter nor darker


def test_frames_of_several_sizes_keep_their_order_and_their_values():
    frames = [noise(256, 256), noise(480, 480), noise(300, 300), noise(480, 480)]
    prepare = DeviceImageResizer(PUBLISHED, SIDE, CPU)
    together = prepare(frames)
    assert together.shape == (4, 252, 252, 3)
    for frame, got in zip(frames, together, strict=True):
        np.testing.assert_array_equal(prepare([frame])[0], got)


def test_the_matrices_that_are_kept_are_bounded():
    prepare = DeviceImageResizer(SHIPPED, SIDE, CPU)
    for height in range(100, 100 + KEPT_SIZES + 3):
        prepare([noise(height, height)])
    assert len(prepare.kept) == KEPT_SIZES


def test_the_letterbox_is_left_to_the_cpu():
    assert can_prepare(PUBLISHED)
    assert not can_prepare(ImageOptions(use_albumentations=False))


@pytest.mark.parametrize("options", [PUBLISHED, SHIPPED], ids=["published", "shipped"])
def test_no_value_is_needed_to_prepare_frames(options):
    plan = plan_resizes(480, 640, options, SIDE)
    frames = torch.zeros(2, 480, 640, 3, dtype=torch.uint8)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        prepared = apply_resizes(mode.from_tensor(frames), plan)
    assert prepared.shape == (2, *prepared_size(480, 640, options, SIDE), 3)

    class Prepare(torch.nn.Module):
        def forward(self, given):
            return apply_resizes(given, plan)

    nodes = torch.export.export(Prepare(), (frames,), strict=False).graph.nodes
    names = [str(node.target) for node in nodes if node.op == "call_function"]
    assert not [name for name in names if any(word in name for word in HOST)]


def raw_samples(texts, sizes):
    """One sample per number of text tokens, its frame as a camera of that size gives it."""
    made = []
    for count, size in zip(texts, sizes, strict=True):
        tokens = np.prod(prepared_size(*size, SHIPPED, SIDE)) // SIDE**2
        ids = [np.full(count, 7), np.full(tokens, IMAGE_TOKEN), np.full(1, 9)]
        state = np.zeros((1, 5), np.float32)
        frame = noise(*size)
        made.append(RawSample((frame,), np.concatenate(ids), state, 0, SHIPPED, SIDE))
    return made


def test_an_engine_answers_raw_frames_as_the_reference_answers_prepared_ones():
    net = network()
    probe, *batch = raw_samples((1, 3, 9), ((256, 256), (256, 256), (480, 480)))
    prepare = DeviceImageResizer(SHIPPED, SIDE, CPU)
    engine = CudaGraphEngine(net, 0, PAD, probe, 2, replayed, prepare)
    noises = noise_of(net, 2).numpy()
    answer = engine.run(batch, noises)
    assert answer is not None
    prepared = [
        ByteSample(tuple(prepare(one.frames).numpy()), one.input_ids, one.state, one.embodiment)
        for one in batch
    ]
    same = CudaGraphEngine(net, 0, PAD, probe, 2, replayed).run(prepared, noises)
    assert same is not None
    np.testing.assert_array_equal(answer.chunks, same.chunks)
    inputs = reference_input(prepared, layout_of(prepared))
    with torch.no_grad():
        want = net.generate(inputs, torch.from_numpy(noises))
    np.testing.assert_allclose(answer.chunks, want.numpy(), atol=2e-5)


def test_a_raw_sample_is_scaled_as_its_prepared_frame():
    (sample,) = raw_samples((3,), ((300, 400),))
    want = prepare_frame(sample.frames[0], SHIPPED, SIDE)
    torch.testing.assert_close(sample.scaled().images[0], to_pixels(want), atol=0, rtol=0)
    assert sample.grids(SIDE) == [(want.shape[0] // SIDE, want.shape[1] // SIDE)]


@pytest.mark.gpu
def test_a_gpu_prepares_frames_as_a_cpu_does():
    frames = [noise(480, 640), edges(480, 640)]
    for options in (PUBLISHED, SHIPPED):
        on_cpu = DeviceImageResizer(options, SIDE, CPU)(frames).int()
        on_gpu = DeviceImageResizer(options, SIDE, torch.device("cuda"))(frames).cpu().int()
        assert (on_cpu - on_gpu).abs().max() <= 1
