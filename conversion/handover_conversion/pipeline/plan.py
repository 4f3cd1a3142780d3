"""Plan of a conversion: all that decides its result, recorded before it starts and kept with it."""

from collections.abc import Mapping, Sequence
from typing import Any

import av
import pyarrow as pa
from handover_common import NOT_INSTALLED, package_version
from handover_common.parallel import Executor

from handover_conversion.groot.hashing import hash_files
from handover_conversion.pipeline.cameras import CameraFormat
from handover_conversion.pipeline.config import ConvertConfig
from handover_conversion.pipeline.episode import Target
from handover_conversion.recordings import Recordings
from handover_conversion.resampling.grid import METHOD
from handover_conversion.video.encode import ENCODINGS
from handover_conversion.video.resize import CROP, FILTER

_PARAMETERS = (
    "fps",
    "image_size",
    "codec",
    "horizon",
    "timestamps",
    "trim_frames",
    "trim_idle",
    "task",
    "task_where_empty",
)


def make_plan(
    source: str,
    config: ConvertConfig,
    recordings: Recordings,
    target: Target,
    notes: Sequence[str],
    executor: Executor,
) -> dict[str, Any]:
    """Record source, parameters and tools; an interrupted run resumes only with an equal plan.

    notes: what was decided of the whole dataset without being told.
    """
    return {
        "tool": {
            "handover": package_version("handover") or NOT_INSTALLED,
            "pyarrow": pa.__version__,
            **_av_versions(),
        },
        "source": {
            "name": source,
            "revision": config.revision,
            "codebase_version": recordings.source.version,
            "fps": recordings.source.fps,
            "episodes": len(recordings.episodes),
            "sha256": _source_hash(recordings, executor),
        },
        "parameters": {name: getattr(config, name) for name in _PARAMETERS},
        "episodes_asked_for": list(config.episodes),
        "cameras": {camera.name: _camera(camera) for camera in target.cameras},
        "resampling": METHOD,
        "image": {"crop": CROP, "resize": FILTER},
        "embodiment": target.robot.described(),
        "notes": list(notes),
    }


def _camera(camera: CameraFormat) -> dict[str, Any]:
    return {
        "key": camera.key,
        "image_size": camera.image_size,
        "codec": camera.codec,
        "swap_colors": camera.swap_colors,
        "encoder": ENCODINGS[camera.codec].described(),
    }


def named_alike(plan: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return `plan` with the other's path to the source, whose content alone decides."""
    return {**plan, "source": {**plan["source"], "name": other["source"]["name"]}}


def _av_versions() -> dict[str, str]:
    libraries = ("libavcodec", "libavformat", "libswscale")
    versions = {name: ".".join(map(str, av.library_versions[name])) for name in libraries}
    return {"av": av.__version__, **versions}


def _source_hash(recordings: Recordings, executor: Executor) -> str:
    """Hash the files that the conversion reads: metadata, rows and the chosen cameras' videos."""
    meta = [path for path in (recordings.root / "meta").rglob("*") if path.is_file()]
    rows = [episode.rows.path for episode in recordings.episodes]
    videos = [frames.path for episode in recordings.episodes for frames in episode.frames.values()]
    return hash_files(recordings.root, [*meta, *rows, *videos], executor)
