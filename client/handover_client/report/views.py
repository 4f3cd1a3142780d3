"""Views of a replay: a small video of each camera for the page, kept in the run's folder.

views/EPISODE/CAMERA.mp4      the camera's name percent-encoded
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from handover_common import file_within, track, write_bytes

from handover_client.report.episodes import Camera, data_uri, shown_episodes
from handover_client.view.video import film_rows, make_film

if TYPE_CHECKING:
    from handover_client.replay.run import Replay

MOST_BYTES = 24_000_000  # of mp4 in a page; a third more as text


def write_views(folder: Path, replay: "Replay", figures: Mapping[str, Any]) -> None:
    """Film each camera in the episodes that the page shows, over the steps that were replayed."""
    dataset, first = replay.dataset, replay.client.info.spec.first_step
    lengths = {each["episode"]: each["steps"] for each in figures["per_trajectory"]}
    shown = shown_episodes(figures)
    for episode in track(shown, "videos", total=len(shown), transient=True):
        rows, fps = film_rows(lengths[episode], dataset.fps)
        for camera in dataset.cameras:
            # the curves begin at the step that the policy's first action is for
            frames = dataset.read_frames(episode, camera, [first + row for row in rows])
            film = make_film(camera, frames, fps)
            if film.video:
                write_bytes(folder / f"views/{episode}/{quote(camera, safe='')}.mp4", film.video)


def read_views(folder: Path, episode: int, room: int) -> list[Camera]:
    """Read an episode's videos, as long as they take less than `room` bytes; older runs have none.

    The cameras are in the order of their names.
    """
    cameras = []
    for found in sorted((folder / f"views/{episode}").glob("*.mp4")):
        path = file_within(folder, f"views/{episode}/{found.name}")
        if path is None:  # a link out of a stranger's folder
            continue
        name, size = unquote(found.stem), path.stat().st_size
        room -= size
        if room < 0:
            cameras.append(Camera(name, "", f"left out of the page; it is views/{episode}"))
        else:
            cameras.append(Camera(name, data_uri(path.read_bytes())))
    return cameras
