"""One way to make the square image, for RGB arrays and for a video's planes alike."""

import av
import numpy as np
import pytest
from handover_conversion.video.resize import SquareResizer, center_square, square_resize
from PIL import Image


def _scene(height=480, width=640, seed=0):
    """Draw a smooth picture with edges, as a camera sees."""
    rng = np.random.default_rng(seed)
    light = rng.integers(30, 226, (12, 16, 1)) + rng.integers(-20, 21, (12, 16, 3))
    coarse = Image.fromarray(light.astype(np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).copy()
    smooth[height // 3 : height // 2, width // 3 : width // 2] = [150, 110, 100]
    return smooth


@pytest.mark.parametrize(("height", "width"), [(480, 640), (640, 480), (100, 101), (300, 300)])
def test_it_is_pillows_antialiased_bicubic_of_the_center_square(height, width):
    frame = _scene(height, width)
    left, top, side = center_square(width, height)
    expected = Image.fromarray(frame).resize(
        (256, 256), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
    )
    apart = np.abs(square_resize(frame, 256).astype(int) - np.asarray(expected))
    assert apart.mean() < 0.5
    assert np.quantile(apart, 0.99) <= 4


def test_the_planes_of_a_video_give_the_same_picture_as_its_rgb():
    picture = av.VideoFrame.from_ndarray(_scene(), format="rgb24").reformat(format="yuv420p")
    planes = SquareResizer(picture, 256, "yuv420p").resize(picture).to_ndarray(format="rgb24")
    rgb = square_resize(picture.to_ndarray(format="rgb24"), 256)
    assert np.abs(planes.astype(int) - rgb).mean() < 1


def test_the_crop_is_the_centre():
    frame = np.zeros((480, 640, 3), np.uint8)
    frame[:, :80], frame[:, 560:] = 255, 255
    assert square_resize(frame, 256).max() <= 2  # the margins left and right are gone
    assert center_square(640, 480) == (80, 0, 480)
    assert center_square(480, 640) == (0, 80, 480)
    assert center_square(106, 100) == (2, 0, 100)  # 3 is odd
    assert center_square(100, 107) == (0, 2, 100)


def test_fine_stripes_become_grey_not_moire():
    frame = np.zeros((480, 640, 3), np.uint8)
    frame[:, ::2] = 255
    small = square_resize(frame, 120)[5:-5, 5:-5]
    assert small.std() < 3
    assert abs(small.mean() - 127.5) < 3


def test_full_range_video_keeps_its_black_and_white():
    frame = av.VideoFrame.from_ndarray(_scene(), format="rgb24")
    full = frame.reformat(format="yuvj420p", dst_color_range="JPEG")
    small = SquareResizer(full, 64, "yuv420p").resize(full).to_ndarray(format="rgb24")
    expected = square_resize(frame.to_ndarray(format="rgb24"), 64)
    assert np.abs(small.astype(int) - expected).mean() < 3  # another range: 8


def test_the_same_frame_gives_the_same_bytes():
    frame = _scene(seed=3)
    np.testing.assert_array_equal(square_resize(frame, 256), square_resize(frame.copy(), 256))


@pytest.mark.parametrize("frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_another_shape_or_dtype_is_refused(frame):
    with pytest.raises(ValueError, match="expected an"):
        square_resize(frame, 256)
