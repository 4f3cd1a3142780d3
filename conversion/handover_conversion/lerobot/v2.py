"""LeRobot 2.0 and 2.1 reader: one parquet and one mp4 file per episode, metadata in JSON lines."""

from pathlib import Path
from typing import Any

from handover_conversion.errors import DatasetError, Fault
from handover_conversion.features import CHUNK_SIZE, DATA_PATH, VIDEO_PATH, episode_path, frame_size
from handover_conversion.lerobot.dataset import EpisodeLocation, RowsSpan, unlisted_episodes
from handover_conversion.metadata_files import read_json_lines
from handover_conversion.video.decode import VideoSpan


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
    faults += unlisted_episodes(name, info, episodes, faults)
    return tuple(episodes[index] for index in sorted(episodes)), faults


def _unreadable_statistics(root: Path) -> list[Fault]:
    """Find bad lines in 2.1's statistics: they are not used, but the dataset is damaged."""
    name = "meta/episodes_stats.jsonl"
    if not (root / name).is_file():
        return []
    _, faults = read_json_lines(root, name, {"episode_index": int, "stats": dict})
    return [
        Fault(fault.file, fault.what) for fault in faults
    ]  # not a reason to leave an episode out


def _locate(
    root: Path, info: dict[str, Any], video_key: str, fps: float, index: int, length: int
) -> EpisodeLocation:
    try:
        numbers = index, video_key, int(info.get("chunks_size", CHUNK_SIZE))
        rows = root / episode_path(str(info.get("data_path") or DATA_PATH), *numbers)
        video = root / episode_path(str(info.get("video_path") or VIDEO_PATH), *numbers)
    except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        raise DatasetError(
            f"{root}: meta/info.json: data_path, video_path or chunks_size cannot be used: {error}"
        ) from None
    size = frame_size(info["features"][video_key])
    return EpisodeLocation(index, RowsSpan(rows, length), VideoSpan(video, length, fps, size))
