"""Conversion beside the straightforward way, and its cost and memory for 5, 20 and 50 episodes.

    pip install imageio imageio-ffmpeg opencv-python-headless psutil
    python -m benchmarks.data.conversion --source FOLDER_OF_A_LEROBOT_V2_1_DATASET [--cameras 4]

The straightforward way reads every frame with imageio, crops and resizes the kept ones with Pillow
and writes them in the same codec, mp4v with OpenCV and h264 with imageio as it comes; it is spared
the rows, statistics and metadata, which ours makes too.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import imageio.v2 as imageio
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import tyro
from handover_common import package_versions
from PIL import Image

CAMERA = "observation.images.top"
CODECS = ("mp4v", "h264")
SIZE, FROM_HZ, TO_HZ = 256, 50, 20
COMMAND = """
import sys
from pathlib import Path
from handover_conversion.pipeline.command import main
from handover_conversion.pipeline.config import ConvertConfig
if __name__ == "__main__":
    source, output, codec, workers = sys.argv[1:]
    choices = dict(codec=codec, workers=int(workers), camera=("all",))
    main(ConvertConfig(source, Path(output), **choices))
"""


@dataclass(frozen=True)
class BenchmarkConfig:
    """Measure conversion on real recordings, repeated as often as needed."""

    source: Path
    """Folder of a LeRobot v2.1 ALOHA dataset."""
    output: Path = Path("benchmarks/results/conversion.json")
    """Where the figures go."""
    compared: int = 30
    """Episodes that both ways convert."""
    cameras: int = 1
    """Cameras of every episode, each with the same video."""
    counts: tuple[int, ...] = (5, 20, 50)
    """Episodes of the runs that show cost and memory."""
    workers: int = 2
    """Worker processes of ours, one per core."""


def main(config: BenchmarkConfig) -> None:
    """Measure everything, print it, write it."""
    load = round(os.getloadavg()[0], 1)  # above the number of cores: others were at work too
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        compared = repeat_dataset(
            config.source, place / "compared", config.compared, config.cameras
        )
        straightforward = [measure_straightforward(compared, place, codec) for codec in CODECS]
        ours = [measure_ours(compared, place, codec, config.workers) for codec in CODECS]
        growth = []
        for count in config.counts:
            source = repeat_dataset(config.source, place / f"source_{count}", count, config.cameras)
            growth.append(measure_ours(source, place, "mp4v", config.workers))
            shutil.rmtree(source)
    result = {
        "what": "recorded frames taken in per second of wall time, from start to exit",
        "command": " ".join(["python", "-m", "benchmarks.data.conversion", *sys.argv[1:]]),
        "machine": describe_machine(),
        "load_at_start": load,
        "cameras": config.cameras,
        "versions": describe_versions(),
        "straightforward": straightforward,
        "ours": ours,
        "times_the_straightforward": {
            run["codec"]: round(run["frames_per_s"] / theirs["frames_per_s"], 2)
            for run, theirs in zip(ours, straightforward, strict=True)
        },
        "growth": growth,
        "times_less_cpu": {
            run["codec"]: round(theirs["cpu_seconds"] / run["cpu_seconds"], 2)
            for run, theirs in zip(ours, straightforward, strict=True)
        },
        "seconds_per_episode": seconds_per_episode(growth) if len(growth) > 1 else None,
    }
    config.output.parent.mkdir(parents=True, exist_ok=True)
    config.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def measure_straightforward(source: Path, place: Path, codec: str) -> dict[str, Any]:
    """Convert the videos the straightforward way."""
    output = place / f"straightforward_{codec}"
    output.mkdir()
    videos = sorted((source / "videos/chunk-000").glob("*/*.mp4"))
    started, cpu, frames = time.monotonic(), cpu_seconds(), 0
    for video in videos:
        name = f"{video.parent.name}_{video.name}"
        frames += convert_straightforwardly(video, output / name, codec)
    seconds = time.monotonic() - started
    return {
        "codec": codec,
        "episodes": len(videos),
        "frames": frames,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds() - cpu, 2),
        "frames_per_s": round(frames / seconds, 1),
    }


def convert_straightforwardly(video: Path, output: Path, codec: str) -> int:
    """Read every frame, resize those of the new rate, write them; give the frames read."""
    with imageio.get_reader(video, format="FFMPEG") as opened:  # type: ignore[arg-type]
        frames = [frame for frame in opened.iter_data()]  # type: ignore[attr-defined]
    rows = np.arange(int(len(frames) * TO_HZ / FROM_HZ)) * FROM_HZ // TO_HZ
    small = (square_of(np.asarray(frames[row])) for row in rows)
    if codec == "h264":
        with imageio.get_writer(output, format="FFMPEG", fps=TO_HZ) as writer:  # type: ignore[arg-type]
            for picture in small:
                writer.append_data(picture)  # type: ignore[attr-defined]
        return len(frames)
    mp4v = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(output), mp4v, TO_HZ, (SIZE, SIZE))
    for picture in small:
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    writer.release()
    return len(frames)


def square_of(frame: np.ndarray) -> np.ndarray:
    """Crop the centre square and resize it with Pillow."""
    picture = Image.fromarray(frame)
    left = (picture.width - picture.height) // 2
    square = picture.crop((left, 0, left + picture.height, picture.height))
    return np.asarray(square.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def measure_ours(source: Path, place: Path, codec: str, workers: int) -> dict[str, Any]:
    """Run `handover convert` as a process of its own; watch its memory and that of its workers."""
    output = place / "output"
    command = [sys.executable, "-c", COMMAND, str(source), str(output), codec, str(workers)]
    started, cpu, peak, peak_of_one = time.monotonic(), children_seconds(), 0, 0
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while run.poll() is None:
        memory = tree_memory(run.pid)
        peak, peak_of_one = max(peak, sum(memory)), max(peak_of_one, *memory, 0)
        time.sleep(0.2)
    seconds = time.monotonic() - started
    if run.returncode:
        raise SystemExit(f"the conversion failed: {' '.join(command)}")
    info = json.loads((source / "meta/info.json").read_text())
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    frames = info["total_frames"] * info["cameras"]
    shutil.rmtree(output)
    return {
        "codec": codec,
        "workers": workers,
        "episodes": info["total_episodes"],
        "frames": frames,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(children_seconds() - cpu, 2),
        "frames_per_s": round(frames / seconds, 1),
        "peak_memory_mb": round(peak / 1e6),
        "peak_memory_of_one_process_mb": round(peak_of_one / 1e6),
        "output_mb": round(size / 1e6, 2),
    }


def cpu_seconds() -> float:
    """Give the CPU time of this process and of all its processes that have ended."""
    times = os.times()
    return times.user + times.system + children_seconds()


def children_seconds() -> float:
    """Give the CPU time of this process's processes that have ended, and of theirs."""
    times = os.times()
    return times.children_user + times.children_system


def tree_memory(pid: int) -> list[int]:
    """Give the memory of a process and of each descendant, less what files they share, in bytes."""
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    memory = []
    for process in processes:
        try:
            memory.append(process.memory_info().rss - process.memory_info().shared)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return memory


def seconds_per_episode(growth: list[dict[str, Any]]) -> dict[str, float]:
    """Fit seconds = start + slope · episodes, and give how far the runs are from it at most."""
    episodes = np.array([run["episodes"] for run in growth], float)
    seconds = np.array([run["seconds"] for run in growth])
    slope, start = np.polyfit(episodes, seconds, 1)
    apart = np.abs(slope * episodes + start - seconds).max()
    return {
        "slope_s": round(slope, 3),
        "start_s": round(start, 2),
        "furthest_from_the_line_s": round(apart, 2),
    }


def repeat_dataset(source: Path, output: Path, episodes: int, cameras: int = 1) -> Path:
    """Make a dataset of so many episodes and cameras out of a small one's, numbered anew."""
    info = json.loads((source / "meta/info.json").read_text())
    listed = [json.loads(line) for line in (source / "meta/episodes.jsonl").open()]
    keys = [CAMERA, *(f"{CAMERA}_{number}" for number in range(1, cameras))]
    for folder in ("meta", "data/chunk-000", *(f"videos/chunk-000/{key}" for key in keys)):
        (output / folder).mkdir(parents=True)
    lines, first_row = [], 0
    for index in range(episodes):
        entry = listed[index % len(listed)]
        video = f"videos/chunk-000/{CAMERA}/episode_{entry['episode_index']:06d}.mp4"
        for key in keys:
            copied = output / f"videos/chunk-000/{key}/episode_{index:06d}.mp4"
            shutil.copyfile(source / video, copied)
        rows = "data/chunk-000/episode_{:06d}.parquet"
        table = pq.read_table(source / rows.format(entry["episode_index"]))
        counts = np.arange(table.num_rows)
        for name, values in (("episode_index", counts * 0 + index), ("index", counts + first_row)):
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, pa.array(values))
        pq.write_table(table, output / rows.format(index))
        lines.append(json.dumps({**entry, "episode_index": index}) + "\n")
        first_row += table.num_rows
    (output / "meta/episodes.jsonl").write_text("".join(lines))
    shutil.copyfile(source / "meta/tasks.jsonl", output / "meta/tasks.jsonl")
    info |= {"total_episodes": episodes, "total_frames": first_row, "cameras": cameras}
    info["features"] |= {key: info["features"][CAMERA] for key in keys}
    (output / "meta/info.json").write_text(json.dumps(info))
    return output


def describe_machine() -> dict[str, Any]:
    """Name the processor, the cores that may be used, and the memory."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.platform(),
    }


def describe_versions() -> dict[str, str]:
    """Name the versions that the figures depend on."""
    names = ("av", "pyarrow", "numpy", "pillow", "opencv-python-headless", "imageio")
    return {
        "python": platform.python_version(),
        **package_versions((*names, "imageio-ffmpeg")),
    }


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig))
