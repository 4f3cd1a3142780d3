"""Small datasets in LeRobot's layouts, written by PyArrow and PyAV alone."""

import io
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FPS = 30
NAMES = ["waist", "gripper"]


def brightness(step: int) -> int:
    """Grey of a step's frame: it tells which step a frame is of."""
    return 20 + 5 * step


def frames(length: int, height: int, width: int) -> list[np.ndarray]:
    return [np.full((height, width, 3), brightness(step), np.uint8) for step in range(length)]


def write_video(path: Path, pictures: list[np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, FPS)
        for step, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = step, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def states(episode: int, length: int) -> np.ndarray:
    """(L, 2): the waist goes up by 0.1 a step, the gripper stays at the episode's number."""
    return np.stack([0.1 * np.arange(length), np.full(length, float(episode))], axis=1)


def columns(episode: int, length: int, first: int) -> dict[str, pa.Array]:
    state = states(episode, length).astype(np.float32)
    two = pa.list_(pa.float32())
    return {
        "observation.state": pa.array(state.tolist(), two),
        "action": pa.array((state + 0.5).tolist(), two),
        "timestamp": pa.array((np.arange(length) / FPS).astype(np.float32)),
        "frame_index": pa.array(range(length)),
        "episode_index": pa.array([episode] * length),
        "index": pa.array(range(first, first + length)),
        "task_index": pa.array([episode % 2] * length),
    }


def features(cameras: dict[str, tuple[int, int]], kind: str = "video") -> dict[str, dict]:
    numbers = {"dtype": "float32", "shape": [2], "names": {"motors": NAMES}}
    counters = ("frame_index", "episode_index", "index", "task_index")
    return {
        **{
            key: {"dtype": kind, "shape": [*size, 3], "names": None}
            for key, size in cameras.items()
        },
        "observation.state": numbers,
        "action": numbers,
        "timestamp": {"dtype": "float32", "shape": [1], "names": None},
        **{name: {"dtype": "int64", "shape": [1], "names": None} for name in counters},
    }


TASKS = ["Pick up the cube.", "Put it <b>down</b>."]


def write_v2(root: Path, lengths: dict[int, int], cameras: dict[str, tuple[int, int]]) -> Path:
    """A LeRobot 2.1 dataset: {episode: length}, {feature: (height, width)}."""
    (root / "meta").mkdir(parents=True)
    info = {"codebase_version": "v2.1", "fps": FPS, "robot_type": "two", "chunks_size": 1000}
    write(root, "meta/info.json", info | {"features": features(cameras)})
    lines = [
        {"episode_index": episode, "length": length, "tasks": [TASKS[episode % 2]]}
        for episode, length in lengths.items()
    ]
    (root / "meta/episodes.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    tasks = [{"task_index": place, "task": task} for place, task in enumerate(TASKS)]
    (root / "meta/tasks.jsonl").write_text("".join(json.dumps(each) + "\n" for each in tasks))
    first = 0
    for episode, length in lengths.items():
        place = root / f"data/chunk-000/episode_{episode:06d}.parquet"
        place.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns(episode, length, first)), place)
        first += length
        for key, size in cameras.items():
            video = root / f"videos/chunk-000/{key}/episode_{episode:06d}.mp4"
            write_video(video, frames(length, *size))
    return root


def write_v3(root: Path, lengths: dict[int, int], camera: str, images: str) -> Path:
    """A LeRobot 3.0 dataset of one file: a camera as a video, and one as images in the rows."""
    (root / "meta/episodes/chunk-000").mkdir(parents=True)
    described = features({camera: (48, 64)}) | features({images: (32, 32)}, "image")
    info = {"codebase_version": "v3.0", "fps": FPS, "robot_type": "two", "features": described}
    write(root, "meta/info.json", info)
    pq.write_table(
        pa.table({"task_index": [0, 1], "__index_level_0__": TASKS}), root / "meta/tasks.parquet"
    )
    tables, places, pictures, first = [], [], [], 0
    for episode, length in lengths.items():
        cells = [{"bytes": png(each), "path": "x.png"} for each in frames(length, 32, 32)]
        tables.append(pa.table({**columns(episode, length, first), images: pa.array(cells)}))
        places.append(
            {
                "episode_index": episode,
                "length": length,
                "tasks": [TASKS[episode % 2]],
                "data/chunk_index": 0,
                "data/file_index": 0,
                f"videos/{camera}/chunk_index": 0,
                f"videos/{camera}/file_index": 0,
                f"videos/{camera}/from_timestamp": first / FPS,
            }
        )
        pictures += frames(length, 48, 64)
        first += length
    for name in ("data/chunk-000", f"videos/{camera}/chunk-000"):
        (root / name).mkdir(parents=True)
    pq.write_table(pa.concat_tables(tables), root / "data/chunk-000/file-000.parquet")
    pq.write_table(pa.Table.from_pylist(places), root / "meta/episodes/chunk-000/file-000.parquet")
    write_video(root / f"videos/{camera}/chunk-000/file-000.mp4", pictures)
    return root


def png(picture: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def write(root: Path, name: str, content: dict) -> None:
    (root / name).write_text(json.dumps(content))
