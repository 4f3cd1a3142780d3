"""Videos of a rollout on its page: a success, then each failure, up to a total size."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handover_common import file_within

_MOST_SUCCESSES = 1
MOST_BYTES = 24_000_000  # of mp4, some 180 episodes; a third more as text


@dataclass(frozen=True)
class EmbeddedVideos:
    """Videos as data, and how many the page leaves out."""

    shown: tuple[tuple[Mapping[str, Any], str], ...]  # (episode, data URI)
    left_out: int
    lost: int  # named by an episode, and not in the folder


def embed_videos(folder: Path, episodes: Sequence[Mapping[str, Any]]) -> EmbeddedVideos:
    """Read a success's and the failures' videos from a run's folder, and from nowhere else."""
    filmed = [each for each in episodes if each["video"]]
    paths = {each["video"]: file_within(folder, each["video"]) for each in filmed}
    there = [each for each in filmed if paths[each["video"]] is not None]
    successes = [each for each in there if each["success"]]
    failures = [each for each in there if not each["success"]]
    shown, room = [], MOST_BYTES
    for each in [*successes[:_MOST_SUCCESSES], *failures]:
        path = paths[each["video"]]
        assert path is not None
        size = path.stat().st_size
        if size <= room:
            room -= size
            shown.append((each, data_uri(path)))
    return EmbeddedVideos(tuple(shown), len(there) - len(shown), len(filmed) - len(there))


def data_uri(video: Path) -> str:
    """Write a video as a URI that holds it."""
    return "data:video/mp4;base64," + base64.b64encode(video.read_bytes()).decode("ascii")
