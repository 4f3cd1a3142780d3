"""Reader of the original ALOHA's episodes (tonyzhaozh/act, record_episodes.py), one file each.

/observations/qpos (T, 14), qvel, effort, /observations/images/CAMERA (T, H, W, 3) uint8 or JPEG
bytes (T, longest), /action (T, 14), and of mobile ALOHA /base_action (T, 2). The files say neither
their rate nor an instruction.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handover_conversion.errors import DatasetError, Fault
from handover_conversion.features import Feature
from handover_conversion.hdf5.file import Hdf5Error, find_dataset, members, open_hdf5
from handover_conversion.hdf5.images import Hdf5Images
from handover_conversion.recordings import (
    EpisodeRows,
    RecordedEpisode,
    Recordings,
    RowFormat,
    RowsError,
    SourceInfo,
)

VERSION = "aloha_hdf5"
RATE_HZ = 50.0  # tonyzhaozh/act, constants.py, DT
_IMAGES = "observations/images"
_COLUMNS = (
    "observations/qpos",
    "observations/qvel",
    "observations/effort",
    "action",
    "base_action",
    "timestamp",
)


@dataclass(frozen=True)
class Hdf5Rows:
    """An episode's numbers in its file."""

    path: Path
    length: int

    def read(self, episode: int, expected: RowFormat) -> EpisodeRows:
        """Read and check them. Raises RowsError with everything that is wrong."""
        problems: list[str] = []
        columns = {}
        try:
            with open_hdf5(self.path) as file:
                for name in (*expected.widths, *([expected.time_column or ""])):
                    dataset = find_dataset(file, name) if name else None
                    if dataset is None:
                        problems += [f"has no {name!r}"] * bool(name)
                    elif len(dataset) != self.length:
                        problems.append(f"{name} has {len(dataset)} rows, expected {self.length}")
                    else:
                        columns[name] = np.asarray(dataset[()]).reshape(self.length, -1)
        except Hdf5Error as error:
            raise RowsError([*problems, str(error)]) from None
        for name, values in columns.items():
            width = expected.widths.get(name, 1)
            if values.shape[1] != width:
                problems.append(f"{name}: is {values.shape[1]} wide, expected {width}")
            elif values.dtype.kind not in "fiub":
                problems.append(f"{name}: holds {values.dtype}, expected numbers")
            elif not np.isfinite(values).all():
                row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
                problems.append(f"{name}: NaN or infinite in row {row}")
        if problems:
            raise RowsError(problems)
        time = columns.pop(expected.time_column)[:, 0] if expected.time_column else None
        zeros = np.zeros(self.length, np.int64)
        return EpisodeRows(columns, time, {name: zeros for name in expected.task_columns})


def is_aloha_hdf5(root: Path) -> bool:
    """Whether a folder holds HDF5 files, and is no LeRobot dataset."""
    return not (root / "meta/info.json").exists() and bool(_files(root))


def describe_aloha(root: Path, fps: float | None) -> SourceInfo:
    """Read the columns and cameras off the first file that can be read.

    fps: the recordings' rate, by default the original ALOHA's. Raises DatasetError.
    """
    problem = "no file"
    for path in _files(root):
        try:
            with open_hdf5(path) as file:
                features = {}
                for name in _COLUMNS:
                    dataset = find_dataset(file, name)
                    if dataset is not None:
                        width = int(np.prod(dataset.shape[1:], initial=1))
                        features[name] = Feature(str(dataset.dtype), (width,), {})
                for camera in members(file, _IMAGES):
                    features[f"{_IMAGES}/{camera}"] = Feature("image", (), {})
        except Hdf5Error as error:
            problem = f"{path.name}: {error}"
            continue
        return SourceInfo(root, VERSION, fps or RATE_HZ, "aloha", features)
    raise DatasetError(f"{root}: no HDF5 file can be read: {problem}")


def open_aloha(source: SourceInfo, cameras: Collection[str], fps_is_given: bool) -> Recordings:
    """Find the episodes: their lengths are those of their actions."""
    episodes, faults = [], []
    for index, path in _numbered(_files(source.root)):
        name = path.relative_to(source.root).as_posix()
        try:
            with open_hdf5(path) as file:
                action = find_dataset(file, "action") or find_dataset(file, _COLUMNS[0])
                length = 0 if action is None or not action.shape else int(action.shape[0])
        except Hdf5Error as error:
            faults.append(Fault(name, str(error), index))
            continue
        if length < 1:
            faults.append(Fault(name, "has no /action of at least one row", index))
            continue
        frames = {key: Hdf5Images(path, key, length) for key in cameras}
        episodes.append(RecordedEpisode(index, Hdf5Rows(path, length), frames))
    notes = (
        []
        if fps_is_given
        else [f"HDF5 states no rate: taken as ALOHA's {source.fps:g} Hz (--source-fps)"]
    )
    notes.append("HDF5 states no order of colors: images are taken as RGB (--bgr if they are BGR)")
    return Recordings(source, tuple(episodes), {0: ""}, tuple(faults), tuple(notes))


def _files(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    found = [path for path in root.rglob("*") if path.suffix.lower() in (".hdf5", ".h5")]
    return sorted(path for path in found if path.is_file())


def _numbered(files: list[Path]) -> list[tuple[int, Path]]:
    """Number the files by the last number of each name, or in order where that is ambiguous."""
    numbers = [re.findall(r"\d+", path.stem) for path in files]
    last = [int(found[-1]) if found else -1 for found in numbers]
    if len(set(last)) == len(files) and min(last, default=0) >= 0:
        return sorted(zip(last, files, strict=True))
    return list(enumerate(files))
