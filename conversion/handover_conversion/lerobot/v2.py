"""LeRobot 2.0 and 2.1: one parquet and one mp4 file for each episode, metadata in JSON lines."""

from pathlib import Path
from typing import Any

from handover_conversion.errors import DatasetError, Fault
from handover_conversion.lerobot.dataset import EpisodeLocation, RowsSpan, frame_size
from handover_conversion.metadata_files import read_json_lines
from handover_conversion.video.decode import VideoSpan

_DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
_VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


def read_tasks(root: Path) -> tuple[dict[int, str], list[Fault]]:
    """Read the task texts by their index."""
    records, faults = read_json_lines(root, "meta/tasks.jsonl", {"task_index": int, "task": str})
    return {record["task_index"]: record["task"] for record in records}, faults


def read_episodes(
    root: Path, info: dict[str, Any], video_key: str, fps: float
) -> tuple[tuple[EpisodeLocation, ...], list[Fault]]:
    """Find every episode's files, in the order of their indices."""
    name = "meta/episodes.jsonl"
    records, faults = read_json_lines(root, name, {"episode_index": int, "length": int})
    episodes: dict[int, EpisodeLocation] = {}
    for record in records:
        index, length = record["episode_index"], record["length"]
        if index in episodes:
            faults.append(Fault(name, "the episode is listed twice", index))
        elif length < 1 or index < 0:
            faults.append(Fault(name, f"has length {length}, expected at least 1", index))
        else:
            episodes[index] = _locate(root, info, video_key, fps, index, length)
    faults += _unreadable_statistics(root)
    total = info.get("total_episodes")
    if isinstance(total, int):
        missing = sorted(set(range(total)) - set(episodes) - {f.episode for f in faults})
        faults += [Fault(name, f"not listed, of {total} in info.json", i) for i in missing]
    return tuple(episodes[index] for index in sorted(episodes)), faults


def _unreadable_statistics(root: Path) -> list[Fault]:
    """Find bad lines in 2.1's statistics: nothing is made of them, but the dataset is not whole."""
    name = "meta/episodes_stats.jsonl"
    if not (root / name).is_file():
        return []
    _, faults = read_json_lines(root, name, {"episode_index": int, "stats": dict})
    return [Fault(fault.file, fault.what) for fault in faults]  # no reason to leave an episode out


def _locate(
    root: Path, info: dict[str, Any], video_key: str, fps: float, index: int, length: int
) -> EpisodeLocation:
    try:
        chunk = index // int(info.get("chunks_size", 1000))
        place = {"episode_chunk": chunk, "episode_index": index, "video_key": video_key}
        rows = root / str(info.get("data_path") or _DATA_PATH).format(**place)
        video = root / str(info.get("video_path") or _VIDEO_PATH).format(**place)
    except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        raise DatasetError(
            f"{root}: meta/info.json: data_path, video_path or chunks_size cannot be used: {error}"
        ) from None
    size = frame_size(info["features"][video_key])
    return EpisodeLocation(index, RowsSpan(rows, length), VideoSpan(video, length, fps, size))
