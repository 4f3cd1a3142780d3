"""Recording of a run for the rerun.io viewer; the only module that imports rerun-sdk.

    EPISODE/camera                    images
    EPISODE/joints/NAME/target        as predicted, or as played
    EPISODE/joints/NAME/demonstrated  of a replay
    EPISODE/joints/NAME/measured      of a rollout
    EPISODE/joints/NAME/state, action of a dataset
    EPISODE/reward                    of a rollout, 0 … 4
    EPISODE/joints/NAME/command       of a drive, what the guard let through; target, measured too
    EPISODE/guard, EPISODE/hold       of a drive, interventions and why the robot holds, in words
    EPISODE/latency_ms, late_ms       of a drive

Every value is on the timeline `time`, which starts at 0 s in each episode.
"""

import importlib
import importlib.util
import os
import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from handover_common import FileError, MissingExtra, UsageError, atomic_path
from handover_proto import ALOHA_JOINTS

from handover_client.drive.live import Moment
from handover_client.rollout.record import EpisodeRecord
from handover_client.rollout.trace import EpisodeTrace
from handover_client.view.video import film_rows, make_film

if TYPE_CHECKING:
    from handover_client.replay.evaluation import Evaluation
    from handover_client.replay.run import Replay
    from handover_client.view.content import View

_TIMELINE = "time"
_JPEG_QUALITY = 90
_BLOCK, _MOST_MOMENTS = 10, 100  # control steps that are sent at once, and that may wait
_FRAME_S = 0.1  # between two frames of a camera that are shown live
_END_S = 5.0


def check_rerun(path: Path) -> None:
    """Raise MissingExtra without the extra `viz`, UsageError for a file that cannot be written."""
    if importlib.util.find_spec("rerun") is None:
        raise MissingExtra("rerun-sdk", "viz")
    if path.suffix != ".rrd" or path.is_dir():
        raise UsageError(f"--rerun {path}: expected the name of a file that ends in .rrd")
    folder = next(each for each in path.absolute().parents if each.exists())
    if not (
        folder.is_dir() and os.access(folder, os.W_OK)
    ):  # reported before the run, not after it
        raise UsageError(f"--rerun {path}: {folder} is no folder that can be written to")


def write_replay_rrd(path: Path, evaluation: "Evaluation", replay: "Replay") -> None:
    """Write the frames that the policy saw, and its joints beside the demonstrated ones."""
    part, dataset, rate_hz = evaluation.headline, replay.dataset, replay.dataset.fps
    with _recording(path, "handover replay") as recording:
        for each in evaluation.trajectories:
            root = f"episode_{each.episode}"
            first = replay.client.info.spec.first_step
            times_s = (first + np.arange(len(each.predicted))) / rate_hz
            for column, name in zip(part.columns, part.names, strict=True):
                joint = f"{root}/joints/{_entity(name)}"
                _log_curve(recording, f"{joint}/target", times_s, each.predicted[:, column])
                _log_curve(
                    recording, f"{joint}/demonstrated", times_s, each.demonstrated[:, column]
                )
            asked = list(each.inference_steps)
            for camera in dataset.cameras:
                frames = dataset.read_frames(each.episode, camera, asked)
                seen_s = np.asarray(asked) / rate_hz
                _log_frames(recording, f"{root}/{_entity(camera)}", seen_s, frames)


def write_rollout_rrd(
    path: Path, run: Path, records: Sequence[EpisodeRecord], rate_hz: float
) -> None:
    """Write each episode's joints, rewards and, where it was filmed, its video.

    run: the rollout's folder; rate_hz: of its control steps.
    """
    with _recording(path, "handover rollout") as recording:
        for record in records:
            root = f"episode_{record.episode}"
            trace = EpisodeTrace.load(run / f"traces/episode_{record.episode:06d}.npz")
            times_s = np.arange(record.steps) / rate_hz
            for kind, rows in (("target", trace.targets), ("measured", trace.measured)):
                for name, values in zip(ALOHA_JOINTS, np.array(rows).T, strict=False):
                    _log_curve(recording, f"{root}/joints/{name}/{kind}", times_s, values)
            _log_curve(recording, f"{root}/reward", times_s + 1 / rate_hz, trace.rewards)
            if record.video:
                _log_video(recording, f"{root}/camera", (run / record.video).read_bytes())


def write_view_rrd(path: Path, view: "View") -> None:
    """Write the frames and the values of the episodes that a page shows."""
    recordings, dataset = view.recordings, view.recordings.dataset
    with _recording(path, "handover view") as recording:
        for shown in view.shown:
            if shown.rows is None:
                continue
            root = f"episode_{shown.entry.index}"
            for group in recordings.groups:
                for side, rows in (("state", shown.rows.state), ("action", shown.rows.action)):
                    times_s = np.arange(len(rows[group.name])) / dataset.fps
                    for value, curve in zip(group.values, rows[group.name].T, strict=True):
                        if getattr(value, side):
                            entity = f"{root}/joints/{_entity(value.name)}/{side}"
                            _log_curve(recording, entity, times_s, curve)
            chosen, fps = film_rows(shown.entry.length, dataset.fps)
            for camera in dataset.cameras:
                film = make_film(
                    camera, dataset.read_frames(shown.entry.index, camera, chosen), fps
                )
                if film.video:
                    _log_video(recording, f"{root}/{_entity(camera)}", film.video)


class LiveRecording:
    """A drive as it happens; a context manager. The work is done in a thread of its own.

    What comes faster than it is shown is left out, frames first: the robot never waits.
    """

    def __init__(self, target: str) -> None:
        """Open the viewer, connect to one, or begin a file. Raises UsageError, MissingExtra.

        target: viewer, HOST:PORT, or FILE.rrd
        """
        path = Path(target) if target.endswith(".rrd") else None
        if path:
            check_rerun(path)
        elif importlib.util.find_spec("rerun") is None:
            raise MissingExtra("rerun-sdk", "viz")
        elif target != "viewer" and not target.rpartition(":")[2].isdigit():
            raise UsageError(f"--rerun {target}: expected viewer, HOST:PORT or FILE.rrd")
        self._recording = _sdk().RecordingStream("handover drive")
        try:
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._recording.save(path)
            elif target == "viewer":
                self._recording.spawn()
            else:
                self._recording.connect_grpc(f"rerun+http://{target}/proxy")
        except (RuntimeError, OSError) as error:
            raise UsageError(f"--rerun {target}: {' '.join(str(error).split())}") from None
        self._moments: queue.Queue[Moment | None] = queue.Queue(_MOST_MOMENTS)
        self._shown: dict[str, float] = {}  # {camera: when its last frame was taken, s}
        self._said: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name="rerun", daemon=True)
        self._thread.start()

    def show(self, moment: Moment) -> None:
        """Show a control step; returns at once, and leaves it out where the view is behind."""
        with suppress(queue.Full):
            self._moments.put_nowait(moment)

    def __enter__(self) -> "LiveRecording":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(queue.Full):
            self._moments.put(None, timeout=_END_S)
        self._thread.join(_END_S)
        self._recording.disconnect()

    def _run(self) -> None:
        ended = False
        while not ended:
            block = [self._moments.get()]
            while len(block) < _BLOCK and not self._moments.empty():
                block.append(self._moments.get_nowait())
            ended = None in block
            moments = [moment for moment in block if moment is not None]
            for number in dict.fromkeys(moment.episode for moment in moments):
                self._log([moment for moment in moments if moment.episode == number])

    def _log(self, moments: Sequence[Moment]) -> None:
        rerun, root = _sdk(), f"episode_{moments[0].episode}"
        times_s = np.array([moment.seconds for moment in moments])
        steps = [moment.step for moment in moments]
        for kind in ("measured", "target", "command"):
            rows = np.array([getattr(step, kind) for step in steps])
            for name, values in zip(moments[0].joints, rows.T, strict=True):
                joint = f"{root}/joints/{_entity(name)}"
                _log_curve(self._recording, f"{joint}/{kind}", times_s, values)
        for name in ("latency_ms", "late_ms"):
            values = [getattr(step, name) for step in steps]
            _log_curve(self._recording, f"{root}/{name}", times_s, values)
        newest = moments[-1]
        self._recording.set_time(_TIMELINE, duration=newest.seconds)
        for kind, count in newest.guard.items():
            if count != self._said.get(kind):
                self._recording.log(f"{root}/guard", rerun.TextLog(f"{kind}: {count}"))
        self._said = dict(newest.guard)
        if newest.waits:
            self._recording.log(f"{root}/hold", rerun.TextLog(newest.waits))
        for name, frame in newest.frames.items():
            if frame.time_s >= self._shown.get(name, -np.inf) + _FRAME_S:
                self._shown[name] = frame.time_s
                image = rerun.Image(frame.image).compress(jpeg_quality=_JPEG_QUALITY)
                self._recording.log(f"{root}/{_entity(name)}", image)


@contextmanager
def _recording(path: Path, title: str) -> Iterator[Any]:
    """Open a recording whose file is at `path` when all went well, and nothing otherwise."""
    rerun = _sdk()
    try:
        with atomic_path(path) as partial, rerun.RecordingStream(title) as recording:
            recording.save(partial)
            yield recording
            recording.disconnect()  # what is still under way is written
    except RuntimeError as error:  # rerun raises it for a file that it cannot write
        raise FileError(f"cannot write {path}: {error}") from error


def _log_curve(
    recording: Any, entity: str, times_s: np.ndarray, values: Sequence[float] | np.ndarray
) -> None:
    rerun = _sdk()
    recording.send_columns(
        entity,
        indexes=[rerun.TimeColumn(_TIMELINE, duration=times_s)],
        columns=rerun.Scalars.columns(scalars=np.asarray(values, np.float64)),
    )


def _log_frames(
    recording: Any, entity: str, times_s: np.ndarray, frames: Iterable[np.ndarray]
) -> None:
    rerun = _sdk()
    for time_s, frame in zip(times_s, frames, strict=True):
        recording.set_time(_TIMELINE, duration=float(time_s))
        recording.log(entity, rerun.Image(frame).compress(jpeg_quality=_JPEG_QUALITY))


def _log_video(recording: Any, entity: str, mp4: bytes) -> None:
    """Keep a video as it is, and show each of its frames at its time."""
    rerun = _sdk()
    video = rerun.AssetVideo(contents=mp4, media_type="video/mp4")
    recording.log(entity, video, static=True)
    times_ns = video.read_frame_timestamps_nanos()
    recording.send_columns(
        entity,
        indexes=[rerun.TimeColumn(_TIMELINE, duration=1e-9 * times_ns)],
        columns=rerun.VideoFrameReference.columns_nanos(times_ns),
    )


def _sdk() -> Any:
    return importlib.import_module("rerun")


def _entity(name: str) -> str:
    """Turn a name from outside into one part of a path."""
    return "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in name)
