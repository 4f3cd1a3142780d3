"""Check of a dataset's metadata: what its files say of one another."""

from collections.abc import Iterator
from pathlib import Path

from handover_conversion.errors import DatasetError
from handover_conversion.findings import Finding, fault, note
from handover_conversion.groot.dataset import GrootDataset
from handover_conversion.groot.metadata import GroupColumns
from handover_conversion.locations import is_lfs_pointer

KIND = "structure"
_POINTER_BYTES = 1024
_FOLDERS = ("meta", "data", "videos", "images")
_NAMED = 20  # files that are named one by one


def pointer_files(path: Path) -> list[Path]:
    """List the dataset's files that are Git LFS pointers."""
    found = [file for folder in _FOLDERS for file in sorted((path / folder).rglob("*"))]
    small = [file for file in found if file.is_file() and file.stat().st_size <= _POINTER_BYTES]
    return [file for file in small if is_lfs_pointer(file)]


def pointer_findings(path: Path, pointers: list[Path]) -> Iterator[Finding]:
    """Tell of Git LFS pointers, all in one line."""
    if pointers:
        first = pointers[0].relative_to(path).as_posix()
        yield fault(
            KIND,
            f"{len(pointers)} files are Git LFS pointers, not the files themselves ({first}"
            f"{', …' if len(pointers) > 1 else ''}): run git lfs pull in the repository",
        )


def metadata_findings(dataset: GrootDataset) -> Iterator[Finding]:
    """Compare the metadata's files with one another."""
    yield from _totals(dataset)
    yield from _groups("state", dataset.state_columns)
    yield from _groups("action", dataset.action_columns)
    yield from _cameras(dataset)
    yield from _episode_list(dataset)
    yield from _stray_files(dataset)


def _totals(dataset: GrootDataset) -> Iterator[Finding]:
    described = dataset.info["features"].values()
    videos = sum(feature.get("dtype") == "video" for feature in described)
    counted = {
        "total_episodes": len(dataset.episodes),
        "total_frames": sum(entry.length for entry in dataset.episodes),
        "total_tasks": len(dataset.tasks),
        "total_videos": len(dataset.episodes) * videos,
    }
    for key, count in counted.items():
        stated = dataset.info.get(key, count)
        if stated != count:
            yield note(KIND, f"meta/info.json: {key} is {str(stated)[:40]}, counted {count}")


def _groups(kind: str, columns: GroupColumns) -> Iterator[Finding]:
    if not columns.groups:
        yield fault(KIND, f"meta/modality.json: there are no groups of {kind}")
    last: dict[str, int] = {}
    for group, (column, start, end) in sorted(columns.places.items(), key=lambda one: one[1]):
        if start < last.get(column, 0):
            where = f"meta/modality.json: {kind}.{group} is {start}…{end}"
            yield note(KIND, f"{where}, which overlaps the group before it")
        last[column] = max(last.get(column, 0), end)


def _cameras(dataset: GrootDataset) -> Iterator[Finding]:
    if not dataset.cameras:
        yield note(KIND, "there are no cameras")
    for camera in dataset.cameras:
        key = dataset.video_key(camera)
        if dataset.info["features"].get(key, {}).get("dtype") not in ("video", "image"):
            what = f"meta/modality.json: video.{camera} is {key!r}"
            yield fault(KIND, f"{what}, which is not a video of info.json")


def _episode_list(dataset: GrootDataset) -> Iterator[Finding]:
    if not dataset.episodes:
        yield fault(KIND, "the list of episodes is empty")
    known = set(dataset.tasks.values())
    gaps = [entry.index for place, entry in enumerate(dataset.episodes) if entry.index != place]
    if gaps:
        yield note(KIND, f"the list of episodes does not count from 0 on: episode {gaps[0]}")
    for entry in dataset.episodes:
        if entry.length < 1:
            yield fault(KIND, f"has length {entry.length}", entry.index)
        unknown = [task for task in entry.tasks if task not in known]
        if unknown:
            yield note(KIND, f"the list's tasks {unknown} are not the dataset's", entry.index)


def _stray_files(dataset: GrootDataset) -> Iterator[Finding]:
    expected = {dataset.rows_path(entry.index) for entry in dataset.episodes}
    features = dataset.info["features"].items()
    keys = {name for name, feature in features if feature.get("dtype") == "video"}
    for key in {*keys, *map(dataset.video_key, dataset.cameras)}:
        for entry in dataset.episodes:
            try:
                expected.add(dataset.path / dataset.layout.video(entry.index, key).name)
            except DatasetError:
                continue  # told where the video is looked at
    stray = [
        path.relative_to(dataset.path).as_posix()
        for folder, pattern in (("data", "*.parquet"), ("videos", "*.mp4"))
        for path in sorted((dataset.path / folder).rglob(pattern))
        if path not in expected
    ]
    for name in stray[:_NAMED]:
        yield note(KIND, f"{name} belongs to no episode")
    if len(stray) > _NAMED:
        yield note(KIND, f"{len(stray) - _NAMED} more files belong to no episode")
