"""Recorded datasets of every LeRobot version, small, made here; each frame shows its own number."""

import contextlib
import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handover_common.parallel import Outcome
from handover_conversion.pipeline import run as conversion
from handover_conversion.pipeline.command import main
from handover_conversion.pipeline.config import ConvertConfig

WIDTH, HEIGHT = 64, 48
BITS = 8  # of a frame's number, drawn as stripes across the centre square
CAMERA = "observation.images.top"
TASK = "Pick up the cube."


@dataclass(frozen=True)
class Recorded:
    """How a test's dataset is recorded."""

    version: str = "v2.1"
    lengths: tuple[int, ...] = (60, 50)
    fps: float = 50
    width: int = 14
    camera: str = CAMERA
    square: bool = False  # frames of the centre square alone
    encoder: str = "libx264"
    options: tuple[tuple[str, str], ...] = (("g", "6"), ("bf", "0"), ("sc_threshold", "0"))


def numbered_frame(number):
    """Draw a number's bits as black and white stripes: (48, 64, 3) uint8."""
    frame = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    stripe = HEIGHT // BITS
    for bit in range(BITS):
        left = (WIDTH - HEIGHT) // 2 + bit * stripe
        frame[:, left : left + stripe] = 235 if number >> bit & 1 else 20
    return frame


def read_number(frame):
    """Read a frame's number back from its centre square, whatever its size."""
    height, width = frame.shape[:2]
    side = min(height, width)
    middles = (width - side) / 2 + (np.arange(BITS) + 0.5) * side / BITS
    bright = frame[height // 2, middles.astype(int)].mean(axis=-1) > 128
    return int((bright << np.arange(BITS)).sum())


def recorded_joints(length, fps, width):
    """Give states that are linear in time and actions with toggling grippers: (L, width) each."""
    time = np.arange(length)[:, None] / fps
    state = (time * np.arange(1, width + 1)).astype(np.float32)
    action = state + np.float32(0.5)
    action[:, 6::7] = (np.arange(length)[:, None] // 3) % 2
    return state, action


def encode_frames(path, numbers, recorded, key_frames=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = Fraction(recorded.fps).limit_denominator(1000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(recorded.encoder, rate=rate, options=dict(recorded.options))
        margin = (WIDTH - HEIGHT) // 2 if recorded.square else 0
        stream.width, stream.height, stream.pix_fmt = WIDTH - 2 * margin, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1  # more would make the bytes depend on the machine
        for count, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(numbered_frame(number)[:, margin : WIDTH - margin]),
                format="rgb24",
            )
            frame.pts, frame.time_base = count, 1 / rate
            if count in key_frames:
                frame.pict_type = av.video.frame.PictureType.I
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _table(index, length, first_row, recorded):
    state, action = recorded_joints(length, recorded.fps, recorded.width)
    frames = np.arange(length)
    return pa.table(
        {
            "observation.state": pa.array(list(state), pa.list_(pa.float32())),
            "action": pa.array(list(action), pa.list_(pa.float32())),
            "timestamp": pa.array((frames / recorded.fps).astype(np.float32)),
            "frame_index": pa.array(frames),
            "episode_index": pa.array(np.full(length, index)),
            "index": pa.array(frames + first_row),
            "task_index": pa.array(np.zeros(length, np.int64)),
        }
    )


def _info(recorded):
    vector = {"dtype": "float32", "shape": [recorded.width], "names": None}
    numbers = ("timestamp", "frame_index", "episode_index", "index", "task_index")
    per_episode = recorded.version != "v3.0"
    return {
        "codebase_version": recorded.version,
        "robot_type": "aloha",
        "total_episodes": len(recorded.lengths),
        "total_frames": sum(recorded.lengths),
        "chunks_size": 1000,
        "fps": recorded.fps,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
        if per_episode
        else "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
        if per_episode
        else "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": {
            recorded.camera: {"dtype": "video", "shape": [HEIGHT, WIDTH, 3], "names": None},
            "observation.state": vector,
            "action": vector,
            **{
                name: {"dtype": "float32" if name == "timestamp" else "int64", "shape": [1]}
                for name in numbers
            },
        },
    }


def _record_v2(root, recorded, first_rows):
    for index, length in enumerate(recorded.lengths):
        rows = root / f"data/chunk-000/episode_{index:06d}.parquet"
        rows.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(_table(index, length, first_rows[index], recorded), rows)
        video = root / f"videos/chunk-000/{recorded.camera}/episode_{index:06d}.mp4"
        encode_frames(video, range(length), recorded)
    episodes = [
        {"episode_index": index, "tasks": [TASK], "length": length}
        for index, length in enumerate(recorded.lengths)
    ]
    lines = "".join(json.dumps(episode) + "\n" for episode in episodes)
    (root / "meta/episodes.jsonl").write_text(lines)
    (root / "meta/tasks.jsonl").write_text(json.dumps({"task_index": 0, "task": TASK}) + "\n")


def _record_v3(root, recorded, first_rows):
    for folder in ("data/chunk-000", "meta/episodes/chunk-000"):
        (root / folder).mkdir(parents=True)
    tables = [
        _table(index, length, first_rows[index], recorded)
        for index, length in enumerate(recorded.lengths)
    ]
    with pq.ParquetWriter(root / "data/chunk-000/file-000.parquet", tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table)
    numbers = [number for length in recorded.lengths for number in range(length)]
    video = root / f"videos/{recorded.camera}/chunk-000/file-000.mp4"
    encode_frames(video, numbers, recorded, key_frames=set(first_rows))
    key = f"videos/{recorded.camera}"
    places = [
        {
            "episode_index": index,
            "tasks": [TASK],
            "length": length,
            "data/chunk_index": 0,
            "data/file_index": 0,
            "dataset_from_index": first,
            "dataset_to_index": first + length,
            f"{key}/chunk_index": 0,
            f"{key}/file_index": 0,
            f"{key}/from_timestamp": first / recorded.fps,
            f"{key}/to_timestamp": (first + length) / recorded.fps,
        }
        for index, (length, first) in enumerate(zip(recorded.lengths, first_rows, strict=True))
    ]
    pq.write_table(pa.Table.from_pylist(places), root / "meta/episodes/chunk-000/file-000.parquet")
    tasks = pa.table({"task_index": [0], "__index_level_0__": [TASK]})
    pq.write_table(tasks, root / "meta/tasks.parquet")


def record_dataset(root, **choices) -> Path:
    """Record a dataset into a new folder."""
    recorded = Recorded(**choices)
    (root / "meta").mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps(_info(recorded)))
    first_rows = np.cumsum([0, *recorded.lengths[:-1]]).tolist()
    write = _record_v3 if recorded.version == "v3.0" else _record_v2
    write(root, recorded, first_rows)
    return root


@pytest.fixture(scope="session")
def record_into():
    """Give the function that records a dataset into a folder: (folder, **choices)."""
    return record_dataset


@pytest.fixture
def record(tmp_path):
    """Give a function that records a dataset here and returns its folder: (name, **choices)."""

    def make(name="recorded", **choices) -> Path:
        return record_dataset(tmp_path / name, **choices)

    return make


@pytest.fixture
def frame_number():
    """Give the function that reads a frame's number back."""
    return read_number


@pytest.fixture
def draw_video():
    """Give a function that writes an mp4 of numbered frames: (path, numbers, **choices)."""

    def draw(path, numbers, **choices):
        encode_frames(path, numbers, Recorded(**choices))

    return draw


@pytest.fixture
def shipped():
    """Give the folder of the recordings that ship with the repository."""
    return Path(__file__).parents[1] / "data/aloha_sim_transfer_cube"


class InlineExecutor(contextlib.nullcontext):
    """Does the tasks here and now: for tests to which processes make no difference but time."""

    workers = 1

    def __enter__(self):
        return self

    def map_unordered(self, function, tasks):
        for task in tasks:
            try:
                yield Outcome(task, function(task), None)
            except Exception as error:
                yield Outcome(task, None, error)


@pytest.fixture
def convert(tmp_path, monkeypatch):
    """Give a function that converts a folder and returns the output's folder.

    It does so in this process, or with as many workers as are asked for.
    """

    def run(source, output="converted", workers=None, **choices):
        with monkeypatch.context() as patch:
            if workers is None:
                patch.setattr(conversion, "open_executor", lambda *_: InlineExecutor())
            main(ConvertConfig(str(source), tmp_path / output, workers=workers, **choices))
        return tmp_path / output

    return run


def file_bytes(root):
    """Read a folder's files: {name: content}."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="session")
def contents():
    """Give the function that reads a folder's files."""
    return file_bytes
