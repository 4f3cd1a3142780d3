import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from handover_model.errors import ModalityError
from handover_model.processing.augmentation import Augmentation, augment, draw_augmentation
from handover_model.processing.image import (
    MAX_TOKENS,
    MIN_TOKENS,
    ImageOptions,
    crop_frame,
    crop_share,
    prepare_frame,
    resize_to_multiples,
    scale_to_edge,
    to_pixels,
    token_grid_size,
)
from hypothesis import given

from ..observations import frame

SIDE = 28


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_token_grids_are_whole_and_neither_tiny_nor_huge(height, width):
    target = token_grid_size(height, width, SIDE)
    assert all(side % SIDE == 0 and side >= SIDE for side in target)
    tokens = target[0] * target[1] // SIDE**2
    assert tokens >= MIN_TOKENS
    if max(height, width) < 8 * min(height, width):
        assert tokens <= MAX_TOKENS


def test_a_token_grid_has_the_frames_shape_at_both_bounds():
    # by sqrt(5e6 / (4096 x 28²)) = 1.2478: 143.1 and 28.6 tokens, of which none is cut in two
    assert token_grid_size(5000, 1000, SIDE) == (143 * SIDE, 28 * SIDE)
    # by sqrt(4 x 28² / 1200) = 1.6166: 2.3 and 1.7 tokens, which are not to become fewer
    assert token_grid_size(40, 30, SIDE) == (3 * SIDE, 2 * SIDE)


@pytest.mark.parametrize(
    ("size", "want"),
    [
        ((256, 256), (252, 252)),
        ((480, 640), (252, 336)),
        ((640, 480), (336, 252)),
        ((84, 84), (252, 252)),
        ((1080, 1920), (252, 448)),
    ],
)
def test_cameras_become_these_images(size, want):
    assert (
        prepare_frame(frame(height=size[0], width=size[1]), ImageOptions(), SIDE).shape[:2] == want
    )


def test_an_even_frame_stays_even():
    gray = np.full((480, 640, 3), 77, np.uint8)
    assert (prepare_frame(gray, ImageOptions(), SIDE) == 77).all()


def test_the_crop_keeps_the_center_or_any_corner():
    image = frame(height=100, width=200)
    np.testing.assert_array_equal(crop_share(image, 0.9, (0.5, 0.5)), image[5:95, 10:190])
    np.testing.assert_array_equal(crop_share(image, 0.9, (0.0, 1.0)), image[:90, 20:])
    assert crop_share(image, 0.958, (0.5, 0.5)).shape == (95, 191, 3)  # of 95.8 and 191.6


def test_scaling_averages_areas():
    image = np.random.default_rng(0).integers(0, 256, (12, 18, 3), np.uint8)
    scaled = scale_to_edge(image, 4)  # by 3: by 2, bilinear interpolation would average as well
    want = image.reshape(4, 3, 6, 3, 3).mean((1, 3))
    np.testing.assert_allclose(scaled, want, atol=0.51)
    assert scale_to_edge(image, 12) is image


def test_whole_tokens_are_made_by_bicubic_interpolation_which_overshoots_at_an_edge():
    image = np.full((40, 40, 3), 50, np.uint8)
    image[:, 20:] = 200
    resized = resize_to_multiples(image, SIDE)
    assert resized.shape == (56, 56, 3)
    assert resized.min() < 45
    assert resized.max() > 205


def test_a_frame_of_whole_tokens_is_not_resized():
    image = frame(height=56, width=84)
    np.testing.assert_array_equal(resize_to_multiples(image, SIDE), image)


def test_the_frame_itself_is_never_changed():
    image = frame(height=64, width=80)
    before = image.copy()
    prepared = to_pixels(prepare_frame(image, ImageOptions(), SIDE))
    prepared.zero_()
    augment(image, Augmentation(angle_deg=10, brightness=1.2, hue=0.1))
    np.testing.assert_array_equal(image, before)


def test_pixels_span_minus_one_to_one():
    pixels = to_pixels(np.array([[[0, 255, 51]]], np.uint8))
    assert pixels.shape == (1, 3, 1, 1)
    torch.testing.assert_close(pixels.flatten(), torch.tensor([-1.0, 1.0, -0.6]))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.zeros((4, 4), np.uint8), r"shape \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        (np.zeros((1, 4000, 3), np.uint8), "1x4000"),  # would be scaled up to 256 x 1024000
    ],
)
def test_what_is_no_frame_is_refused(bad, said):
    with pytest.raises(ModalityError, match=said):
        crop_frame(bad, ImageOptions())


def test_the_letterbox_puts_black_bars_around():
    options = ImageOptions(
        use_albumentations=False, image_target_size=(56, 56), image_crop_size=(56, 56)
    )
    wide = np.full((28, 56, 3), 200, np.uint8)
    boxed = crop_frame(wide, options)
    assert boxed.shape == (56, 56, 3)
    assert (boxed[14:42] == 200).all()
    assert (boxed[:14] == 0).all()
    assert (boxed[42:] == 0).all()


def test_the_letterbox_needs_its_sizes():
    with pytest.raises(ModalityError, match="image_target_size"):
        crop_frame(frame(), ImageOptions(use_albumentations=False))


def test_a_sample_s_augmentation_repeats_and_keeps_within_its_ranges():
    jitter = {"brightness": 0.3, "contrast": 0.4, "saturation": 0.5, "hue": 0.08}
    options = ImageOptions(random_rotation_angle=5.0, color_jitter_params=jitter)
    drawn = [draw_augmentation(options, np.random.default_rng(seed)) for seed in (*range(50), 0)]
    assert drawn[0] == drawn[-1] != drawn[1]
    assert max(abs(change.angle_deg) for change in drawn) <= 5.0
    for name in ("brightness", "contrast", "saturation"):
        strengths = [abs(getattr(change, name) - 1) for change in drawn]
        assert 0.9 * jitter[name] < max(strengths) <= jitter[name]
    assert all(abs(change.hue) <= 0.08 for change in drawn)
    assert all(0 <= share <= 1 for change in drawn for share in change.place)


def test_without_options_only_the_crop_is_drawn():
    drawn = draw_augmentation(ImageOptions(), np.random.default_rng(0))
    assert drawn == Augmentation(place=drawn.place)
    image = frame()
    np.testing.assert_array_equal(augment(image, drawn), image)


def test_colors_change_as_named():
    image = np.full((4, 4, 3), (100, 50, 20), np.uint8)
    assert augment(image, Augmentation(brightness=2.0))[0, 0].tolist() == [200, 100, 40]
    assert augment(image, Augmentation(brightness=3.0))[0, 0].tolist() == [255, 150, 60]
    gray = augment(image, Augmentation(saturation=0.0))[0, 0]
    assert gray.tolist() == [62, 62, 62]  # 0.299 R + 0.587 G + 0.114 B
    assert augment(image, Augmentation(contrast=0.0))[0, 0].tolist() == [62, 62, 62]
    red = np.full((4, 4, 3), (255, 0, 0), np.uint8)
    assert augment(red, Augmentation(hue=1 / 3))[0, 0].argmax() == 1  # a third of a turn: green


def test_a_quarter_turn_moves_the_corners():
    image = np.zeros((5, 5, 3), np.uint8)
    image[0, 4] = 255
    turned = augment(image, Augmentation(angle_deg=90))
    assert turned[0, 0].tolist() == [255, 255, 255]
