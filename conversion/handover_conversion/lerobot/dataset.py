"""What a LeRobot dataset holds, whatever its version: the readers' common result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handover_conversion.errors import DatasetError, Fault
from handover_conversion.video.decode import VideoSpan


@dataclass(frozen=True)
class RowsSpan:
    """An episode's rows: all of a parquet file, or those of one episode in a shared one."""

    path: Path
    length: int
    shared: bool = False  # other episodes are in the same file


@dataclass(frozen=True)
class EpisodeLocation:
    """Where one recorded episode lies; small, and all that reading it needs."""

    index: int
    rows: RowsSpan
    video: VideoSpan

    @property
    def length(self) -> int:
        return self.rows.length


@dataclass(frozen=True)
class Feature:
    """One column or camera of a dataset, as its info.json describes it."""

    dtype: str
    shape: tuple[int, ...]
    names: dict[str, tuple[str, ...]]  # {group: names}; empty when info.json names none

    @property
    def width(self) -> int:
        return self.shape[0] if self.shape else 1


@dataclass(frozen=True)
class LeRobotDataset:
    """A LeRobot dataset of any version; `faults` are those its metadata shows by itself."""

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


def frame_size(feature: Mapping[str, Any]) -> tuple[int, int] | None:
    """Take (height, width) out of a camera's shape; None where it is no image's.

    The shape is (H, W, 3) or (3, H, W), `feature` is as info.json has it.
    """
    shape = feature.get("shape")
    if not isinstance(shape, list | tuple) or len(shape) != 3:
        return None
    channels_first = shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4)
    height, width = shape[1:] if channels_first else shape[:2]
    return int(height), int(width)


def parse_features(described: object) -> dict[str, Feature]:
    """Read info.json's `features`. Raises DatasetError for one without dtype or shape."""
    if not isinstance(described, dict) or not described:
        raise DatasetError("meta/info.json: 'features' is missing or empty")
    features = {}
    for name, value in described.items():
        try:
            shape = tuple(int(size) for size in value["shape"])
            features[name] = Feature(str(value["dtype"]), shape, parse_names(value.get("names")))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DatasetError(
                f"meta/info.json: feature {name!r}: expected dtype and shape, got {value!r}"
            ) from None
    return features


def parse_names(names: Any) -> dict[str, tuple[str, ...]]:
    """Read a feature's names, which are written as a dict, a list or a nested list."""
    if isinstance(names, dict):
        return {str(group): _flat(inner) for group, inner in names.items()}
    flat = _flat(names)
    return {"joints": flat} if flat else {}


def _flat(names: Any) -> tuple[str, ...]:
    if names is None:
        return ()
    if isinstance(names, list | tuple):
        return tuple(name for inner in names for name in _flat(inner))
    return (str(names),)


def choose_camera(features: Mapping[str, Feature], video_key: str) -> None:
    """Make sure that the camera is there, as a video. Raises DatasetError listing the others."""
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
