"""Recordings of a robot with fewer joints than an ALOHA, made of an ALOHA's."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_CAMERA = "observation.images.front"


def record_small_robot(
    aloha: Path, folder: Path, joints: int, names: Sequence[str] | None = None
) -> None:
    """Write a LeRobot v2.1 dataset with an ALOHA's first joints, and its camera as the front one.

    aloha: a LeRobot v2.1 dataset with one camera.
    """
    shutil.copytree(aloha, folder)
    info = json.loads((folder / "meta/info.json").read_text())
    features = info["features"]
    (camera,) = (name for name in features if name.startswith("observation.images."))
    features[_CAMERA] = features.pop(camera)
    for name in ("observation.state", "action"):
        features[name] = {"dtype": "float32", "shape": [joints], "names": names}
    (folder / "meta/info.json").write_text(json.dumps(info))
    for videos in folder.glob(f"videos/*/{camera}"):
        videos.rename(videos.with_name(_CAMERA))
    for path in folder.glob("data/*/*.parquet"):
        table = pq.read_table(path)
        for name in ("observation.state", "action"):
            rows = [row[:joints] for row in table.column(name).to_pylist()]
            place = table.column_names.index(name)
            values = pa.array(rows, pa.list_(pa.float32()))
            table = table.set_column(place, name, values)
        pq.write_table(table, path)
