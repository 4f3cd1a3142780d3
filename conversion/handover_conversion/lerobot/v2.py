"""LeRobot 2.0 and 2.1 reader: one parquet and one mp4 file per episode, metadata in JSON lines."""

from pathlib import Path

from handover_conversion.errors import DatasetError, Fault
from handover_conversion.features import CHUNK_SIZE, DATA_PATH, VIDEO_PATH, episode_path, frame_size
from handover_conversion.lerobot.episodes import FoundEpisodes, unlisted_episodes
from handover_conversion.lerobot.row_images import RowImages
from handover_conversion.lerobot.rows import RowsSpan
from handover_conversion.metadata_files import read_json_lines
from handover_conversion.recordings import FrameSource, RecordedEpisode, SourceInfo
from handover_conversion.video.decode import VideoSpan


def read_tasks(root: Path) -> tuple[dict[int, str], list[Fault]]:
    """Read the task texts by their index."""
    records, faults = read_json_lines(root, "meta/tasks.jsonl", {"task_index": int, "task": str})
    return {record["task_index"]: record["task"] for record in records}, faults


def read_episodes(source: SourceInfo, cameras: tuple[str, ...]) -> FoundEpisodes:
    """Find every episode's files, in the order of their indices."""
    name = "meta/episodes.jsonl"
    records, faults = read_json_lines(source.root, name, {"episode_index": int, "length": int})
    episodes: dict[int, RecordedEpisode] = {}
    for record in records:
        index, length = record["episode_index"], record["length"]
        if index in episodes:
            faults.append(Fault(name, "the episode is listed twice", index))
        elif length < 1 or index < 0:
            faults.append(Fault(name, f"has length {length}, expected at least 1", index))
        else:
            episodes[index] = _locate(source, cameras, index, length)
    faults += _unreadable_statistics(source.root)

    def exists(index: int) -> bool:
        return _locate(source, (), index, 1).rows.path.is_file()

    unlisted, notes = unlisted_episodes(name, source.info, episodes, faults, exists)
    ordered = tuple(episodes[index] for index in sorted(episodes))
    return FoundEpisodes(ordered, (*faults, *unlisted), tuple(notes))


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
    source: SourceInfo, cameras: tuple[str, ...], index: int, length: int
) -> RecordedEpisode:
    root, info = source.root, source.info
    chunk_size = info.get("chunks_size", CHUNK_SIZE)
    frames: dict[str, FrameSource] = {}
    try:
        data_path = str(info.get("data_path") or DATA_PATH)
        rows = root / episode_path(data_path, index, "", int(chunk_size))
        for key in cameras:
            if source.features[key].dtype == "image":
                frames[key] = RowImages(root, rows, index, key, length, shared=False)
                continue
            video_path = str(info.get("video_path") or VIDEO_PATH)
            video = root / episode_path(video_path, index, key, int(chunk_size))
            size = frame_size(info["features"][key])
            frames[key] = VideoSpan(video, length, source.fps, size)
    except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        raise DatasetError(
            f"{root}: meta/info.json: data_path, video_path or chunks_size cannot be used: {error}"
        ) from None
    return RecordedEpisode(index, RowsSpan(rows, length), frames)
