"""Features of info.json and file names of LeRobot 2's layout, which GR00T datasets share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from handover_conversion.errors import DatasetError
from handover_conversion.locations import fill_pattern

CHUNK_SIZE = 1000  # episodes of a folder
DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


@dataclass(frozen=True)
class Feature:
    """One column or camera of a dataset, as its info.json describes it."""

    dtype: str
    shape: tuple[int, ...]
    names: dict[str, tuple[str, ...]]  # {group: names}; empty when info.json names none

    @property
    def width(self) -> int:
        return self.shape[0] if self.shape else 1


def frame_size(feature: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return a camera's (height, width); None if its shape is not that of an image.

    The shape is (H, W, 3) or (3, H, W); `feature` is info.json's entry.
    """
    shape = feature.get("shape")
    if not isinstance(shape, list | tuple) or len(shape) != 3:
        return None
    channels_first = shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4)
    height, width = shape[1:] if channels_first else shape[:2]
    return int(height), int(width)


def parse_features(described: object) -> dict[str, Feature]:
    """Parse info.json's `features`. Raises DatasetError for one without dtype or shape."""
    if not isinstance(described, dict) or not described:
        raise DatasetError("meta/info.json: 'features' is missing or empty")
    features = {}
    for name, value in described.items():
        try:
            sizes = value["shape"]  # null for a text's, in some recorders' files
            shape = () if sizes is None else tuple(int(size) for size in sizes)
            features[name] = Feature(str(value["dtype"]), shape, parse_names(value.get("names")))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DatasetError(
                f"meta/info.json: feature {name!r}: expected dtype and shape, got {value!r}"
            ) from None
    return features


def parse_names(names: Any) -> dict[str, tuple[str, ...]]:
    """Parse a feature's names, which info.json has as a dict, a list or a nested list."""
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


def episode_path(
    pattern: str, index: int, video_key: str = "", chunk_size: int = CHUNK_SIZE
) -> str:
    """Fill an episode's numbers into DATA_PATH or VIDEO_PATH, or an info.json's own pattern.

    Raises ValueError; see fill_pattern.
    """
    numbers = {"episode_chunk": index // chunk_size, "episode_index": index}
    return fill_pattern(pattern, {**numbers, "video_key": video_key})
