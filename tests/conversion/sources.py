"""Recordings of the kinds that people have, written by pyarrow, PyAV and h5py alone.

Frame k of a camera is of one gray, `gray(k)`, so that a decoded frame tells which one it was.
"""

import io
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

TASK = "Pick up the cube."
SIZE = (48, 64)
_COUNTERS = ("frame_index", "episode_index", "index", "task_index")


def gray(number):
    return 20 + 3 * number


def numbers_of(frames):
    """Read the frames' numbers back."""
    return [round((float(np.mean(frame)) - 20) / 3) for frame in frames]


def picture(number, size=SIZE):
    return np.full((*size, 3), gray(number), np.uint8)


def write_mp4(path, numbers, fps, size=SIZE, times=None, tick=None, **options):
    """Write frames; times: their places in ticks, where they are not one after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = Fraction(fps).limit_denominator(100_000)
    tick = tick or 1 / rate
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"bf": "0", **options})
        stream.height, stream.width = size
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", tick
        for place, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="rgb24")
            frame.pts = place if times is None else int(times[place])
            frame.time_base = tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def smooth(length, width, fps):
    """(L, width) float32, each value a sine of another speed."""
    time = np.arange(length)[:, None] / fps
    return np.sin(time * np.arange(1, width + 1)).astype(np.float32)


def feature(kind, shape, names=None):
    return {"dtype": kind, "shape": list(shape), "names": names}


def column(values):
    """An Arrow column of (L,) or (L, D) numbers, or of anything that is one already."""
    if isinstance(values, np.ndarray) and values.ndim == 2:
        return pa.array(values.tolist(), pa.list_(pa.from_numpy_dtype(values.dtype)))
    return pa.array(values)


def write_v2(
    root,
    episodes,
    fps=50,
    cameras=("observation.images.top",),
    sizes=None,
    names=None,
    tasks=(TASK,),
    without=(),
    modality=None,
    video_fps=None,
):
    """Write a LeRobot 2.1 dataset.

    episodes: {index: {column: (L, …) array}}, each with "observation.state" or another float
    column; counters, timestamps and tasks are added unless they are there or `without` has them
    """
    root, sizes = Path(root), sizes or {}
    (root / "meta").mkdir(parents=True)
    listed, first, described = [], 0, {}
    for key in cameras:
        described[key] = feature("video", [*sizes.get(key, SIZE), 3])
    for index, columns in episodes.items():
        length = len(next(iter(columns.values())))
        steps = np.arange(length)
        whole = {
            "timestamp": (steps / fps).astype(np.float32),
            "frame_index": steps,
            "episode_index": np.full(length, index),
            "index": first + steps,
            "task_index": np.zeros(length, np.int64),
            **columns,
        }
        whole = {name: values for name, values in whole.items() if name not in without}
        for name, values in whole.items():
            if isinstance(values, np.ndarray):
                width = [values.shape[1]] if values.ndim == 2 else [1]
                described.setdefault(
                    name, feature(str(values.dtype), width, (names or {}).get(name))
                )
            else:
                described.setdefault(name, feature("image", [*SIZE, 3]))
        path = root / f"data/chunk-000/episode_{index:06d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({name: column(v) for name, v in whole.items()}), path)
        for offset, key in enumerate(cameras):
            video = root / f"videos/{key}/000/{index:06d}.mp4"
            numbers = np.arange(length) + offset
            write_mp4(video, numbers, video_fps or fps, sizes.get(key, SIZE))
        used = sorted(set(np.asarray(whole.get("task_index", [0])).tolist()))
        listed.append({"episode_index": index, "tasks": [tasks[i] for i in used], "length": length})
        first += length
    info = {
        "codebase_version": "v2.1",
        "robot_type": "some",
        "fps": fps,
        "total_episodes": len(episodes),
        "total_frames": first,
        "chunks_size": 1000,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/{video_key}/{episode_chunk:03d}/{episode_index:06d}.mp4",
        "features": described,
    }
    _write_json(root / "meta/info.json", info)
    (root / "meta/episodes.jsonl").write_text("".join(json.dumps(x) + "\n" for x in listed))
    (root / "meta/tasks.jsonl").write_text(
        "".join(json.dumps({"task_index": i, "task": t}) + "\n" for i, t in enumerate(tasks))
    )
    if modality is not None:
        _write_json(root / "meta/modality.json", modality)
    return root


def images_column(numbers, size=SIZE):
    """A column of PNG images, as LeRobot stores them without videos."""
    return [{"bytes": png(picture(n, size)), "path": f"{n}.png"} for n in numbers]


def write_hdf5(path, length, cameras, compressed=False, size=SIZE, **others):
    """Write an episode as the original ALOHA's recorder does; others: {name: array}."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["sim"] = False
        state = smooth(length, 14, 50)
        file["observations/qpos"] = state
        file["observations/qvel"] = np.zeros_like(state)
        file["action"] = state + np.float32(0.5)
        for name, values in others.items():
            file[name] = values
        lengths = []
        for offset, camera in enumerate(cameras):
            pictures = [picture(step + offset, size) for step in range(length)]
            if not compressed:
                file[f"observations/images/{camera}"] = np.stack(pictures)
                continue
            encoded = [jpeg(pixels) for pixels in pictures]
            lengths.append([len(one) for one in encoded])
            longest = max(lengths[-1])
            padded = [np.frombuffer(one.ljust(longest, b"\0"), np.uint8) for one in encoded]
            file[f"observations/images/{camera}"] = np.stack(padded)
        if compressed:
            file["compress_len"] = np.array(lengths)
    return path


def _write_json(path, content):
    path.write_text(json.dumps(content))
