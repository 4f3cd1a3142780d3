"""Recordings: a LeRobot or GR00T dataset as a viewer sees it, whatever its layout.

Columns are paired by what the dataset says: the groups of its modality.json, else the names of
the values in info.json. A value that has no partner stands alone; nothing is renamed or scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from handover_conversion import DatasetError, GrootDataset
from handover_conversion.groot import EpisodeEntry, stated_units

from handover_client.view.values import Place, ValueGroup, paired_by_group, paired_by_name


@dataclass(frozen=True)
class EpisodeRows:
    """One episode's numbers: {group: (L, values) float64}, NaN where a value has no such side."""

    state: Mapping[str, np.ndarray]
    action: Mapping[str, np.ndarray]
    task: str  # at its first step; empty where there is none

    def motion(self) -> np.ndarray:
        """The values to judge motion by, actions where there are any: (L, D)."""
        sides = [
            np.where(np.isnan(self.action[name]), self.state[name], self.action[name])
            for name in self.state
        ]
        return np.concatenate(sides, axis=1) if sides else np.zeros((0, 0))


@dataclass(frozen=True)
class Recordings:
    """A dataset, and how its values are shown."""

    dataset: GrootDataset
    groups: tuple[ValueGroup, ...]
    units: Mapping[str, str]  # {group: unit}, of those that the dataset states
    layout: str  # in words
    hidden_cameras: tuple[str, ...]  # features that modality.json leaves out

    @classmethod
    def open(cls, path: Path) -> "Recordings":
        """Read the metadata. Raises DatasetError, also for a dataset without episodes."""
        dataset = GrootDataset.open(path, plain=True)
        if not dataset.episodes:
            raise DatasetError(f"{path} lists no episodes: nothing to see")
        features = dataset.info["features"]
        is_groot = (path / "meta/modality.json").is_file()
        version = str(dataset.info.get("codebase_version") or "of no stated version")
        images = [k for k, v in features.items() if str(v.get("dtype")) in ("video", "image")]
        shown = [dataset.video_key(camera) for camera in dataset.cameras]
        pair = paired_by_group(dataset.modality, features) if is_groot else paired_by_name(features)
        return cls(
            dataset=dataset,
            groups=pair,
            units=stated_units(dataset),
            layout=f"GR00T, LeRobot {version}" if is_groot else f"LeRobot {version}",
            hidden_cameras=tuple(key for key in images if key not in shown),
        )

    def read_rows(self, episode: EpisodeEntry) -> EpisodeRows:
        """Read one episode's numbers and its instruction. Raises DatasetError."""
        values = [value for group in self.groups for value in group.values]
        places = [place for value in values for place in (value.state, value.action) if place]
        names = list(dict.fromkeys(name for name, _ in places)) or ["episode_index"]
        columns = self.dataset.read_columns(episode.index, names)
        length = len(columns[names[0]])
        state, action = (
            {
                group.name: np.stack(
                    [_values(columns, getattr(value, side), length) for value in group.values],
                    axis=1,
                )
                for group in self.groups
            }
            for side in ("state", "action")
        )
        texts = self.dataset.instructions.read(episode)
        return EpisodeRows(state, action, texts[0].strip() if texts else "")


def _values(columns: Mapping[str, np.ndarray], place: Place | None, length: int) -> np.ndarray:
    if place is None:
        return np.full(length, np.nan)
    name, index = place
    if index >= columns[name].shape[1]:
        width = columns[name].shape[1]
        raise DatasetError(f"{name} is {width} wide, and its value {index} is asked for")
    return columns[name][:, index].astype(np.float64)
