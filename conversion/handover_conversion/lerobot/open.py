"""Entry point of the LeRobot readers (2.0, 2.1, 3.0): reads metadata only, no rows, no frames."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from handover_conversion.errors import DatasetError, Fault
from handover_conversion.features import parse_features
from handover_conversion.lerobot import v2 as lerobot_v2
from handover_conversion.lerobot import v3 as lerobot_v3
from handover_conversion.locations import leads_out
from handover_conversion.metadata_files import read_json
from handover_conversion.recordings import RecordedEpisode, Recordings, SourceInfo

_READERS = {"v2.0": lerobot_v2, "v2.1": lerobot_v2, "v3.0": lerobot_v3}


def describe_lerobot(root: Path) -> SourceInfo:
    """Read info.json, and modality.json where there is one. Raises DatasetError."""
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder: expected a LeRobot dataset")
    info = read_json(root, "meta/info.json")
    version = str(info.get("codebase_version"))
    if version not in _READERS:
        raise DatasetError(
            f"{root}: codebase_version is {version!r}, expected one of {', '.join(_READERS)}"
        )
    features = parse_features(info.get("features"))
    fps = info.get("fps")
    if not isinstance(fps, int | float) or isinstance(fps, bool) or not 0 < fps < 100_000:
        raise DatasetError(f"{root}: meta/info.json: expected fps above 0, got {fps!r}")
    has_modality = (root / "meta/modality.json").is_file()
    return SourceInfo(
        root=root,
        version=version,
        fps=float(fps),
        robot_type=str(info.get("robot_type") or "unknown"),
        features=features,
        info=info,
        modality=read_json(root, "meta/modality.json") if has_modality else None,
    )


def open_lerobot(source: SourceInfo, cameras: Collection[str]) -> Recordings:
    """Find a described dataset's episodes, with some of its cameras, by their keys.

    Faults of single episodes are in the result's `faults`; DatasetError is raised where no episode
    could be read.
    """
    reader = _READERS[source.version]
    tasks, task_faults = reader.read_tasks(source.root)
    found = reader.read_episodes(source, tuple(cameras))
    faults = (*task_faults, *found.faults, *_links_out(source.root, found.episodes))
    return Recordings(source, found.episodes, tasks, faults, found.notes)


def _links_out(root: Path, episodes: Iterable[RecordedEpisode]) -> Iterator[Fault]:
    """Report files that are links out of the dataset's folder, which are not followed."""
    for episode in episodes:
        for path in dict.fromkeys(one.path for one in (episode.rows, *episode.frames.values())):
            if leads_out(root, path):
                name = path.relative_to(root).as_posix()
                yield Fault(name, "is a link out of the dataset's folder", episode.index)
