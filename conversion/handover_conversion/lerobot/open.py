"""Entry point of the LeRobot readers (2.0, 2.1, 3.0): reads metadata only, no rows, no frames."""

from pathlib import Path

from handover_conversion.errors import DatasetError
from handover_conversion.features import parse_features
from handover_conversion.lerobot import v2 as lerobot_v2
from handover_conversion.lerobot import v3 as lerobot_v3
from handover_conversion.lerobot.dataset import LeRobotDataset, choose_camera
from handover_conversion.metadata_files import read_json

_READERS = {"v2.0": lerobot_v2, "v2.1": lerobot_v2, "v3.0": lerobot_v3}


def open_lerobot(root: Path, video_key: str) -> LeRobotDataset:
    """Open the dataset at `root`, with one of its cameras.

    Faults of single episodes are in the result's `faults`; DatasetError is raised where no episode
    could be read.
    """
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder: expected a LeRobot dataset")
    info = read_json(root, "meta/info.json")
    version = str(info.get("codebase_version"))
    if version not in _READERS:
        raise DatasetError(
            f"{root}: codebase_version is {version!r}, expected one of {', '.join(_READERS)}"
        )
    features = parse_features(info.get("features"))
    choose_camera(features, video_key)
    fps = info.get("fps")
    if not isinstance(fps, int | float) or isinstance(fps, bool) or not 0 < fps < 100_000:
        raise DatasetError(f"{root}: meta/info.json: expected fps above 0, got {fps!r}")
    reader = _READERS[version]
    tasks, task_faults = reader.read_tasks(root)
    episodes, faults = reader.read_episodes(root, info, video_key, float(fps))
    return LeRobotDataset(
        root=root,
        version=version,
        fps=float(fps),
        robot_type=str(info.get("robot_type") or "unknown"),
        features=features,
        episodes=episodes,
        tasks=tasks,
        faults=(*task_faults, *faults),
    )
