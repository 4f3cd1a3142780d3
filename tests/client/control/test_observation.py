"""The square image that a robot's own loop makes is conversion's, without conversion's packages."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from handover_client import square_image
from handover_client.control.observation import frame_of_size

VIDEOS = sorted((Path(__file__).parents[2] / "data/aloha_sim_transfer_cube").rglob("*.mp4"))


@pytest.fixture(scope="module")
def frames():
    """Every fortieth frame of the shipped recordings: (480, 640, 3) each."""
    av = pytest.importorskip("av", reason="conversion's own resize needs the extra convert")
    found = []
    for video in VIDEOS:
        with av.open(str(video)) as film:
            found += [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)][::40]
    assert len(found) >= 8
    return found


@pytest.mark.parametrize("size", [256, 224, 64])
def test_on_real_frames_it_is_conversions_square_image(frames, size):
    from handover_conversion import square_resize

    for frame in frames:
        apart = np.abs(square_image(frame, size).astype(int) - square_resize(frame, size))
        assert apart.mean() < 0.02  # of 255 levels; measured: 0.001 at 256 pixels


@pytest.mark.parametrize(("height", "width"), [(480, 640), (641, 480), (100, 107)])
def test_its_square_is_conversions(height, width):
    pytest.importorskip("av", reason="conversion's own resize needs the extra convert")
    from handover_conversion import square_resize

    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    apart = np.abs(square_image(noise, 64).astype(int) - square_resize(noise, 64))
    assert apart.mean() < 0.2  # of noise, the worst case; a crop two pixels off is 10 and more


def test_it_is_256_pixels_unless_told_and_needs_no_video_library():
    program = (
        "import sys, numpy as np; from handover_client import square_image\n"
        "print(square_image(np.zeros((480, 640, 3), np.uint8)).shape, 'av' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "(256, 256, 3) False", done.stderr


@pytest.mark.parametrize("frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_what_is_no_frame_is_refused(frame):
    with pytest.raises(ValueError, match=r"expected an \(H, W, 3\) uint8 image"):
        square_image(frame)


def test_a_frame_that_is_not_to_be_square_keeps_its_shape():
    frame = np.zeros((480, 640, 3), np.uint8)
    frame[:, 320:] = 200
    assert frame_of_size(frame, (480, 640)) is frame
    small = frame_of_size(frame, (240, 320))
    assert small.shape == (240, 320, 3)
    assert (small[:, :150] == 0).all()
    assert (small[:, 170:] == 200).all()
    np.testing.assert_array_equal(frame_of_size(frame, (64, 64)), square_image(frame, 64))
