"""Plan of a conversion: all that decides its result, recorded before it starts and kept with it."""

from collections.abc import Mapping
from typing import Any

import av
import pyarrow as pa
from handover_common import NOT_INSTALLED, package_version
from handover_common.parallel import Executor

from handover_conversion.groot.hashing import hash_files
from handover_conversion.lerobot.dataset import LeRobotDataset
from handover_conversion.pipeline.config import ConvertConfig
from handover_conversion.pipeline.episode import Target
from handover_conversion.pipeline.resample import METHOD
from handover_conversion.video.encode import ENCODINGS
from handover_conversion.video.resize import CROP, FILTER


def make_plan(
    source: str,
    config: ConvertConfig,
    recordings: LeRobotDataset,
    target: Target,
    executor: Executor,
) -> dict[str, Any]:
    """Record source, parameters and tools; an interrupted run resumes only with an equal plan."""
    return {
        "tool": {
            "handover": package_version("handover") or NOT_INSTALLED,
            "pyarrow": pa.__version__,
            **_av_versions(),
        },
        "source": {
            "name": source,
            "revision": config.revision,
            "codebase_version": recordings.version,
            "fps": recordings.fps,
            "episodes": len(recordings.episodes),
            "sha256": _source_hash(recordings, executor),
        },
        "parameters": {
            "video_key": config.video_key,
            "fps": config.fps,
            "image_size": config.image_size,
            "codec": config.codec,
            "horizon": config.horizon,
        },
        "resampling": METHOD,
        "image": {"crop": CROP, "resize": FILTER},
        "encoder": ENCODINGS[config.codec].described(),
        "embodiment": target.embodiment.described(),
    }


def named_alike(plan: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return `plan` with the other's path to the source, whose content alone decides."""
    return {**plan, "source": {**plan["source"], "name": other["source"]["name"]}}


def _av_versions() -> dict[str, str]:
    libraries = ("libavcodec", "libavformat", "libswscale")
    versions = {name: ".".join(map(str, av.library_versions[name])) for name in libraries}
    return {"av": av.__version__, **versions}


def _source_hash(recordings: LeRobotDataset, executor: Executor) -> str:
    """Hash the files that the conversion reads: metadata, rows and the one camera's videos."""
    meta = [path for path in (recordings.root / "meta").rglob("*") if path.is_file()]
    rows = [episode.rows.path for episode in recordings.episodes]
    videos = [episode.video.path for episode in recordings.episodes]
    return hash_files(recordings.root, [*meta, *rows, *videos], executor)
