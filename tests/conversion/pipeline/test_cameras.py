"""Every camera of a recording is converted, each in its own size, and none is left out unsaid."""

import json

import numpy as np
import pytest
from handover_common import UsageError
from handover_conversion.check.run import check_dataset
from handover_conversion.errors import DatasetError
from handover_conversion.groot.dataset import GrootDataset

from .. import sources

KEYS = tuple(f"observation.images.{name}" for name in ("cam_high", "cam_low", "cam_wrist"))
SIZES = {KEYS[0]: (48, 64), KEYS[1]: (64, 48), KEYS[2]: (36, 36)}


@pytest.fixture
def three(tmp_path):
    joints = {0: 60, 1: 50}
    episodes = {
        index: {"observation.state": sources.smooth(n, 14, 50), "action": sources.smooth(n, 14, 50)}
        for index, n in joints.items()
    }
    return sources.write_v2(tmp_path / "three", episodes, cameras=KEYS, sizes=SIZES)


def _faults(path):
    return [one for one in check_dataset(path) if one.severity == "fault"]


def test_all_cameras_are_converted_with_the_right_frames(three, convert, capsys):
    output = convert(three, camera=("all",), image_size=32)
    dataset = GrootDataset.open(output)
    assert dataset.cameras == ("cam_high", "cam_low", "cam_wrist")
    nearest = np.arange(24) * 5 // 2
    for offset, camera in enumerate(dataset.cameras):
        frames = list(dataset.read_frames(0, camera))
        assert {frame.shape for frame in frames} == {(32, 32, 3)}
        assert sources.numbers_of(frames) == (nearest + offset).tolist()
    assert _faults(output) == []
    assert "left out cameras" not in capsys.readouterr().out
    info = json.loads((output / "meta/info.json").read_text())
    assert info["total_videos"] == 6
    cameras = json.loads((output / "meta/conversion.json").read_text())["cameras"]
    assert {name: camera["key"] for name, camera in cameras.items()} == {
        "cam_high": KEYS[0],
        "cam_low": KEYS[1],
        "cam_wrist": KEYS[2],
    }


def test_each_camera_has_its_own_name_size_and_codec(three, convert, capsys):
    flags = (f"ego_view={KEYS[0]}", f"wrist={KEYS[2]},image_size=64,codec=h264")
    output = convert(three, camera=flags, image_size=32)
    features = json.loads((output / "meta/info.json").read_text())["features"]
    told = {
        name: (feature["shape"], feature["info"]["video.codec"])
        for name, feature in features.items()
        if feature["dtype"] == "video"
    }
    assert told == {
        "observation.images.ego_view": ([32, 32, 3], "mpeg4"),
        "observation.images.wrist": ([64, 64, 3], "h264"),
    }
    frames = list(GrootDataset.open(output).read_frames(1, "wrist"))
    assert {frame.shape for frame in frames} == {(64, 64, 3)}
    assert f"left out cameras: {KEYS[1]}" in capsys.readouterr().out


def test_which_of_several_cameras_is_asked_for(three, convert):
    with pytest.raises(DatasetError, match=r"has the cameras .*cam_low.*: expected --camera all"):
        convert(three)


def test_the_only_camera_needs_no_name(tmp_path, convert):
    joints = sources.smooth(50, 14, 50)
    episodes = {0: {"observation.state": joints, "action": joints}}
    source = sources.write_v2(tmp_path / "one", episodes, cameras=("observation.images.front",))
    assert GrootDataset.open(convert(source, image_size=32)).cameras == ("ego_view",)


@pytest.mark.parametrize(
    ("flags", "error", "message"),
    [
        ({"camera": ("a=b",)}, DatasetError, "no camera 'b' in the dataset; it has: .*cam_high"),
        ({"camera": (f"a={KEYS[0]}", f"a={KEYS[1]}")}, UsageError, "two cameras have one name"),
        ({"camera": (f"a={KEYS[0]},image_size=7",)}, UsageError, "even image_size"),
        ({"camera": (f"a={KEYS[0]},speed=7",)}, UsageError, "speed is not known"),
        ({"camera": (f"../a={KEYS[0]}",)}, UsageError, "expected a name of letters"),
        ({"camera": ("all",), "video_key": KEYS[0]}, UsageError, "expected one of them"),
    ],
)
def test_a_wrong_choice_of_cameras_is_one_line(three, convert, flags, error, message):
    with pytest.raises(error, match=message) as raised:
        convert(three, **flags)
    assert "\n" not in str(raised.value)


def test_swapped_colors_are_swapped_back(tmp_path, convert):
    joints = sources.smooth(40, 14, 50)
    orange = np.zeros((48, 64, 3), np.uint8) + np.array([200, 120, 30], np.uint8)
    images = [{"bytes": sources.png(orange), "path": "x.png"}] * 40
    columns = {"observation.state": joints, "action": joints, "observation.images.top": images}
    source = sources.write_v2(tmp_path / "bgr", {0: columns}, cameras=())
    for bgr, expected in ((False, [200, 120, 30]), (True, [30, 120, 200])):
        output = convert(source, f"out_{bgr}", image_size=32, bgr=bgr)
        frame = next(iter(GrootDataset.open(output).read_frames(0, "ego_view")))
        np.testing.assert_allclose(frame.mean(axis=(0, 1)), expected, atol=4)


# of a track's header, tkhd: x' = a·x + c·y, y' = b·x + d·y with y downwards, in 16.16
ROTATIONS = {"clockwise": (0, 1, -1, 0), "half": (-1, 0, 0, -1), "counterclockwise": (0, -1, 1, 0)}


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_a_rotation_in_the_container_is_applied(tmp_path, convert, monkeypatch, rotation):
    pixels = np.full((48, 64, 3), 60, np.uint8)
    pixels[:24] = 200  # bright above
    monkeypatch.setattr(sources, "picture", lambda *_: pixels)
    joints = sources.smooth(40, 14, 50)
    episodes = {0: {"observation.state": joints, "action": joints}}
    source = sources.write_v2(tmp_path / "turned", episodes)
    path = next(source.rglob("*.mp4"))
    content = path.read_bytes()
    a, b, c, d = (int(value).to_bytes(4, "big", signed=True) for value in (65536, 0, 0, 65536))
    upright = a + b + bytes(4) + c + d
    at = content.index(upright, content.index(b"tkhd"))
    turn = [(value * 65536).to_bytes(4, "big", signed=True) for value in ROTATIONS[rotation]]
    turned = turn[0] + turn[1] + bytes(4) + turn[2] + turn[3]
    path.write_bytes(content[:at] + turned + content[at + len(turned) :])
    output = convert(source, image_size=32)
    frame = next(iter(GrootDataset.open(output).read_frames(0, "ego_view")))[:, :, 0].astype(int)
    # a clockwise turn brings what is above to the right
    bright = {
        "clockwise": frame[:, 24:],
        "half": frame[24:],
        "counterclockwise": frame[:, :8],
    }[rotation]
    assert bright.min() > 150
    assert frame.min() < 100
