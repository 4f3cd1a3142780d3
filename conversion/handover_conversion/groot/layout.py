"""Layouts of a GR00T dataset's files: one of each kind per episode (2.x), or shared ones (3.0)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from handover_conversion.errors import DatasetError
from handover_conversion.features import CHUNK_SIZE, DATA_PATH, VIDEO_PATH
from handover_conversion.findings import Finding
from handover_conversion.groot.metadata import EpisodeEntry, checked_entries, read_episodes
from handover_conversion.locations import fill_pattern, regular_file

_SHARED_DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_SHARED_VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
_EPISODE_FILES = 100_000  # at most, of meta/episodes


@dataclass(frozen=True)
class FilePlace:
    """A file of an episode; shared: other episodes are in it too; from_s: where its video begins"""

    name: str
    shared: bool = False
    from_s: float = 0.0


class Layout(Protocol):
    """Where the files of an episode are. Raises DatasetError where info.json does not say."""

    episodes: tuple[EpisodeEntry, ...]

    def rows(self, index: int) -> FilePlace:
        """Return the place of an episode's rows."""
        ...

    def video(self, index: int, video_key: str) -> FilePlace:
        """Return the place of an episode's frames of a video feature."""
        ...


def open_layout(path: Path, info: dict[str, Any], faults: list[Finding] | None = None) -> Layout:
    """Read the dataset's list of episodes. Raises DatasetError.

    faults: collects what is wrong with single episodes, which are left out, instead.
    """
    if (path / "meta/episodes").is_dir() and not (path / "meta/episodes.jsonl").exists():
        return SharedFiles(path, info, faults)
    return EpisodeFiles(path, info, faults)


class EpisodeFiles:
    """The layout of LeRobot 2.0 and 2.1: a parquet and an mp4 file per episode and camera."""

    def __init__(
        self, path: Path, info: dict[str, Any], faults: list[Finding] | None = None
    ) -> None:
        self._path = path
        self._data = info.get("data_path") or DATA_PATH
        self._video = info.get("video_path") or VIDEO_PATH
        self._chunk_size = info.get("chunks_size", CHUNK_SIZE)
        self.episodes = read_episodes(path, faults)

    def rows(self, index: int) -> FilePlace:
        """See Layout."""
        return FilePlace(self._filled("data_path", self._data, index, {}))

    def video(self, index: int, video_key: str) -> FilePlace:
        """See Layout."""
        named = {"video_key": video_key}
        return FilePlace(self._filled("video_path", self._video, index, named))

    def _filled(self, key: str, pattern: object, index: int, named: dict[str, str]) -> str:
        try:
            if type(self._chunk_size) is not int or self._chunk_size < 1:
                raise ValueError(f"chunks_size is {str(self._chunk_size)[:20]!r}")
            numbers = {"episode_chunk": index // self._chunk_size, "episode_index": index}
            name = fill_pattern(pattern, {**numbers, **named})
            if len(self.episodes) > 1 and "{episode_index" not in str(pattern):
                raise ValueError(f"{str(pattern)[:80]!r} is the same file for every episode")
            return name
        except ValueError as error:
            raise DatasetError(
                f"{self._path}: meta/info.json: {key} or chunks_size cannot be used: {error}"
            ) from None


class SharedFiles:
    """The layout of LeRobot 3.0: files of many episodes, located by meta/episodes."""

    def __init__(
        self, path: Path, info: dict[str, Any], faults: list[Finding] | None = None
    ) -> None:
        self._path = path
        self._data = info.get("data_path") or _SHARED_DATA
        self._video = info.get("video_path") or _SHARED_VIDEO
        records = [record for name in _episode_files(path) for record in _records(path, name)]
        records.sort(key=lambda record: record["episode_index"])
        self._records = records
        self.episodes = checked_entries(path, "meta/episodes", records, faults)

    @cached_property
    def _by_index(self) -> dict[int, Mapping[str, Any]]:
        return {record["episode_index"]: record for record in self._records}

    def rows(self, index: int) -> FilePlace:
        """See Layout."""
        return FilePlace(self._filled("data_path", self._data, index, "data", {}), shared=True)

    def video(self, index: int, video_key: str) -> FilePlace:
        """See Layout."""
        place = f"videos/{video_key}"
        name = self._filled("video_path", self._video, index, place, {"video_key": video_key})
        from_s = self._by_index[index].get(f"{place}/from_timestamp")
        if not isinstance(from_s, int | float) or not 0 <= from_s < 1e7:
            raise DatasetError(
                f"{self._path}: meta/episodes: episode {index} has "
                f"{place}/from_timestamp {from_s}, expected seconds"
            )
        return FilePlace(name, shared=True, from_s=float(from_s))

    def _filled(
        self, key: str, pattern: object, index: int, place: str, named: dict[str, str]
    ) -> str:
        numbers = {
            name: self._by_index[index].get(f"{place}/{name}")
            for name in ("chunk_index", "file_index")
        }
        missing = [f"{place}/{name}" for name, value in numbers.items() if type(value) is not int]
        if missing:
            raise DatasetError(
                f"{self._path}: meta/episodes: episode {index} has no {', '.join(missing)}"
            )
        try:
            filled = {name: int(value) for name, value in numbers.items() if value is not None}
            return fill_pattern(pattern, {**filled, **named})
        except ValueError as error:
            raise DatasetError(
                f"{self._path}: meta/info.json: {key} cannot be used: {error}"
            ) from None


def _episode_files(path: Path) -> list[str]:
    found = sorted((path / "meta/episodes").glob("chunk-*/file-*.parquet"))[:_EPISODE_FILES]
    if not found:
        raise DatasetError(f"{path} has no meta/episodes/chunk-*/file-*.parquet")
    return [file.relative_to(path).as_posix() for file in found]


def _records(path: Path, name: str) -> list[dict[str, Any]]:
    """Read the rows of a list's file, without the statistics stored beside them."""
    try:
        with pq.ParquetFile(regular_file(path, name)) as file:
            names = [one for one in file.schema_arrow.names if not one.startswith("stats/")]
            records = file.read(columns=names).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(
            f"{path / name} cannot be read: {(str(error).splitlines() or [''])[0]}"
        ) from None
    for record in records:
        for field in ("episode_index", "length"):
            if type(record.get(field)) is not int:
                raise DatasetError(
                    f"{path / name}: {field} is {str(record.get(field))[:40]!r}, expected an int"
                )
    return records
