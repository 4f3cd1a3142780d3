"""Frames are decoded once, whole, and are those of the video."""

import shutil

import numpy as np
import pytest
from handover_conversion.groot.dataset import GrootDataset
from handover_model.processing.image import ImageOptions, crop_frame, scale_to_edge
from handover_training.data.frame_cache import FrameCache, open_cache
from handover_training.errors import TrainingError

CAMERA = "ego_view"


@pytest.fixture
def opened(dataset):
    return GrootDataset.open(dataset)


@pytest.fixture
def filled(opened, tmp_path):
    cache = open_cache(tmp_path, opened, "0" * 64, ImageOptions(shortest_image_edge=32))
    cache.fill([0, 1], [CAMERA], workers=2)
    return cache


def test_frames_are_the_videos_scaled_once(opened, filled):
    frames = filled.frames(1, CAMERA)
    assert frames.shape == (160, 32, 32, 3)
    assert not frames.flags.writeable
    for row, frame in zip((0, 77, 159), opened.read_frames(1, CAMERA, [0, 77, 159]), strict=True):
        np.testing.assert_array_equal(frames[row], scale_to_edge(frame, 32))


def test_the_network_sees_the_same_with_and_without_the_cache(opened, filled):
    options = ImageOptions(shortest_image_edge=32)
    (frame,) = opened.read_frames(0, CAMERA, [40])
    direct = crop_frame(frame, options)
    np.testing.assert_array_equal(crop_frame(filled.frames(0, CAMERA)[40], options), direct)


def test_nothing_is_decoded_twice(filled, monkeypatch):
    def fail(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(FrameCache, "_decode", fail)
    filled.fill([0, 1], [CAMERA], workers=1)


def test_an_interrupted_fill_leaves_no_partial_file_and_goes_on(opened, tmp_path, monkeypatch):
    cache = open_cache(tmp_path, opened, "1" * 64, ImageOptions(shortest_image_edge=32))
    reads = GrootDataset.read_frames

    def breaks(self, index, camera, rows=None):
        for row, frame in enumerate(reads(self, index, camera, rows)):
            if index == 1 and row == 100:
                raise KeyboardInterrupt
            yield frame

    with monkeypatch.context() as patch:
        patch.setattr(GrootDataset, "read_frames", breaks)
        with pytest.raises(KeyboardInterrupt):
            cache.fill([0, 1], [CAMERA], workers=1)
    assert [path.name for path in cache.folder.rglob("*") if path.is_file()] == [
        "episode_000000.npy"
    ]
    cache.fill([0, 1], [CAMERA], workers=1)
    assert len(cache.frames(1, CAMERA)) == 160


def test_the_key_tells_contents_and_sizes_apart(opened, tmp_path):
    def folder(content, edge):
        return open_cache(tmp_path, opened, content, ImageOptions(shortest_image_edge=edge)).folder

    assert len({folder("a" * 64, 32), folder("b" * 64, 32), folder("a" * 64, 64)}) == 3


def test_a_folder_that_cannot_be_written_names_the_flag(opened, tmp_path):
    (tmp_path / "file").write_text("")
    cache = open_cache(tmp_path / "file", opened, "0" * 64, ImageOptions())
    with pytest.raises(TrainingError, match="--cache-dir"):
        cache.fill([0], [CAMERA], workers=1)


def test_a_changed_dataset_has_another_content_hash(dataset, opened, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    assert GrootDataset.open(copy).content_hash() == opened.content_hash()
    with opened.video_path(0, CAMERA).open("rb") as file:
        content = file.read()
    GrootDataset.open(copy).video_path(0, CAMERA).write_bytes(content + b"\0")
    assert GrootDataset.open(copy).content_hash() != opened.content_hash()
