"""Recordings: a LeRobot or GR00T dataset as a viewer sees it, whatever its layout.

Columns are paired by what the dataset says: the groups of its modality.json, else the names of
the values in info.json. A value that has no partner stands alone; nothing is renamed or scaled.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from handover_conversion import DatasetError, read_json
from handover_conversion.video import VideoSpan, read_video

from handover_client.view.layout import (
    EpisodeFiles,
    find_episodes,
    matrix,
    read_table,
    read_tasks,
)
from handover_client.view.values import ValueGroup, paired_by_group, paired_by_name


@dataclass(frozen=True)
class EpisodeRows:
    """One episode's numbers: {group: (L, values) float64}, NaN where a value has no such side."""

    state: Mapping[str, np.ndarray]
    action: Mapping[str, np.ndarray]
    task: str

    @property
    def length(self) -> int:
        """Number of steps."""
        return max((len(rows) for rows in self.state.values()), default=0)

    def motion(self) -> np.ndarray:
        """The values to judge motion by, actions where there are any: (L, D)."""
        sides = [
            np.where(np.isnan(self.action[name]), self.state[name], self.action[name])
            for name in self.state
        ]
        return np.concatenate(sides, axis=1) if sides else np.zeros((0, 0))


@dataclass(frozen=True)
class Recordings:
    """A dataset's metadata, and its rows and frames on request."""

    path: Path
    layout: str  # in words
    fps: float
    robot: str
    cameras: Mapping[str, str]  # {name: feature}
    groups: tuple[ValueGroup, ...]
    episodes: tuple[EpisodeFiles, ...]
    tasks: Mapping[int, str]
    task_column: str  # empty where the rows name no task
    features: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> "Recordings":
        """Read the metadata. Raises DatasetError."""
        info = read_json(path, "meta/info.json")
        features = {k: v for k, v in (info.get("features") or {}).items() if isinstance(v, dict)}
        fps = info.get("fps")
        if not isinstance(fps, int | float) or not 0 < fps < 100_000:
            raise DatasetError(f"{path}: meta/info.json: expected fps above 0, got {fps!r}")
        is_groot = (path / "meta/modality.json").is_file()
        modality = read_json(path, "meta/modality.json") if is_groot else {}
        images = [k for k, v in features.items() if v.get("dtype") in ("video", "image")]
        videos = [key for key in images if features[key]["dtype"] == "video"]
        version = str(info.get("codebase_version") or "of no stated version")
        return cls(
            path=path,
            layout=f"GR00T, LeRobot {version}" if is_groot else f"LeRobot {version}",
            fps=float(fps),
            robot=str(info.get("robot_type") or ""),
            cameras=_cameras(modality, images),
            groups=paired_by_group(modality, features) if is_groot else paired_by_name(features),
            episodes=tuple(find_episodes(path, info, videos)),
            tasks=read_tasks(path),
            task_column=_task_column(modality, features),
            features=features,
        )

    def episode(self, index: int) -> EpisodeFiles:
        """Find an episode. Raises DatasetError listing some that there are."""
        for each in self.episodes:
            if each.index == index:
                return each
        there = ", ".join(str(each.index) for each in self.episodes[:20])
        more = "" if len(self.episodes) <= 20 else f" … {self.episodes[-1].index}"
        raise DatasetError(f"{self.path} has no episode {index}; it has: {there}{more}")

    def read_rows(self, episode: EpisodeFiles) -> EpisodeRows:
        """Read one episode's numbers and its instruction. Raises DatasetError."""
        named = {
            place[0]
            for group in self.groups
            for value in group.values
            for place in (value.state, value.action)
            if place
        }
        table = read_table(episode, [*named, *([self.task_column] if self.task_column else [])])
        columns = {name: matrix(table, name) for name in named}
        sides = [
            {
                group.name: np.stack(
                    [_values(columns, getattr(value, side), len(table)) for value in group.values],
                    axis=1,
                )
                for group in self.groups
            }
            for side in ("state", "action")
        ]
        return EpisodeRows(sides[0], sides[1], self._task(table, episode))

    def read_frames(
        self, episode: EpisodeFiles, camera: str, rows: Sequence[int]
    ) -> Iterator[np.ndarray]:
        """Decode frames of ascending rows: (H, W, 3) uint8 RGB each. Raises DatasetError."""
        feature = self.cameras[camera]
        if feature in episode.videos:
            path, start_s = episode.videos[feature]
            span = VideoSpan(path, episode.length, self.fps, from_s=start_s, shared=episode.shared)
            for _, frame in read_video(span, np.asarray(rows, np.int64), count_all=False):
                yield frame.to_ndarray(format="rgb24")
        elif self.features[feature]["dtype"] == "image":
            cells = read_table(episode, [feature]).column(feature).take(list(rows)).to_pylist()
            yield from (_picture(cell, self.path) for cell in cells)
        else:
            raise DatasetError(f"episode {episode.index} names no video of {feature}")

    def _task(self, table: Any, episode: EpisodeFiles) -> str:
        """The instruction that the rows name at their start, else the episode's own."""
        if self.task_column and len(table):
            first = table.column(self.task_column)[0].as_py()
            first = first[0] if isinstance(first, list) and first else first
            if isinstance(first, str):
                return first
            if isinstance(first, int | float) and int(first) in self.tasks:
                return self.tasks[int(first)]
        return episode.tasks[0] if episode.tasks else ""


def _cameras(modality: Mapping[str, Any], images: Sequence[str]) -> dict[str, str]:
    """Name the cameras as modality.json does, and by the end of their feature where it does not."""
    named = {
        name: (entry.get("original_key") or f"observation.images.{name}")
        for name, entry in (modality.get("video") or {}).items()
    }
    others = [key for key in images if key not in named.values()]
    named |= {key.removeprefix("observation.images."): key for key in others}
    return {name: feature for name, feature in named.items() if feature in images}


def _task_column(modality: Mapping[str, Any], features: Mapping[str, Any]) -> str:
    for name, entry in (modality.get("annotation") or {}).items():
        column = entry.get("original_key") or f"annotation.{name}"
        if column in features:
            return column
    return "task_index" if "task_index" in features else ""


def _values(
    columns: Mapping[str, np.ndarray], place: tuple[str, int] | None, length: int
) -> np.ndarray:
    if place is None:
        return np.full(length, np.nan)
    name, index = place
    if index >= columns[name].shape[1]:
        width = columns[name].shape[1]
        raise DatasetError(f"{name} is {width} wide, and its value {index} is asked for")
    return columns[name][:, index]


def _picture(cell: Any, root: Path) -> np.ndarray:
    """Decode one image of a row: LeRobot stores {"bytes": PNG, "path": name}."""
    from PIL import Image, UnidentifiedImageError

    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(data, bytes):
        raise DatasetError(f"{root}: an image of the rows is no bytes, but {type(data).__name__}")
    try:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{root}: an image of the rows cannot be decoded: {error}") from None
