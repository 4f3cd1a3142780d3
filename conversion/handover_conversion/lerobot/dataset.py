"""LeRobotDataset: episodes, features and tasks of any version, the readers' common result."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handover_conversion.errors import DatasetError, Fault
from handover_conversion.features import Feature
from handover_conversion.video.decode import VideoSpan

_MOST_UNLISTED = 1000  # episodes that are named one by one


@dataclass(frozen=True)
class RowsSpan:
    """An episode's rows: a whole parquet file, or one episode's part of a shared one."""

    path: Path
    length: int
    shared: bool = False  # other episodes are in the same file


@dataclass(frozen=True)
class EpisodeLocation:
    """Location of one recorded episode: small, and all that reading it needs."""

    index: int
    rows: RowsSpan
    video: VideoSpan

    @property
    def length(self) -> int:
        return self.rows.length


@dataclass(frozen=True)
class LeRobotDataset:
    """A LeRobot dataset of any version; `faults` are those that its metadata alone shows."""

    root: Path
    version: str
    fps: float
    robot_type: str
    features: Mapping[str, Feature]
    episodes: tuple[EpisodeLocation, ...]
    tasks: Mapping[int, str]
    faults: tuple[Fault, ...] = field(default=())

    @property
    def columns(self) -> tuple[str, ...]:
        """The features that are columns of the parquet files."""
        return tuple(name for name, f in self.features.items() if f.dtype not in ("video", "image"))

    def name_of(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def unlisted_episodes(
    name: str, info: Mapping[str, Any], listed: Collection[int], faults: Iterable[Fault]
) -> list[Fault]:
    """Report episodes that info.json counts and the list `name` lacks, unless faulty already."""
    total = info.get("total_episodes")
    if not isinstance(total, int):
        return []
    if total > len(listed) + _MOST_UNLISTED:
        return [Fault(name, f"lists {len(listed)} episodes of {total} in info.json")]
    missing = sorted(set(range(total)) - set(listed) - {fault.episode for fault in faults})
    return [Fault(name, f"not listed, of {total} in info.json", index) for index in missing]


def choose_camera(features: Mapping[str, Feature], video_key: str) -> None:
    """Check that the camera exists, as a video. Raises DatasetError listing the others."""
    cameras = [name for name, feature in features.items() if feature.dtype == "video"]
    if video_key in cameras:
        return
    if video_key in features:
        kind = features[video_key].dtype
        raise DatasetError(
            f"{video_key!r} is stored as {kind!r}, expected 'video': "
            "record or re-export the dataset with its cameras as videos"
        )
    raise DatasetError(
        f"no camera {video_key!r} in the dataset; "
        f"it has: {', '.join(cameras) or 'none'} (--video-key)"
    )
