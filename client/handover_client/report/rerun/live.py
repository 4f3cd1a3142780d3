"""Recording of a drive as it happens, in a viewer or a file."""

import importlib.util
import os
import queue
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from handover_common import MissingExtra, UsageError

from handover_client.drive.live import Moment
from handover_client.report.rerun.stream import (
    JPEG_QUALITY,
    TIMELINE,
    check_rerun,
    entity_of,
    log_curve,
    sdk,
)

_BLOCK, _MOST_MOMENTS = 10, 100  # control steps that are sent at once, and that may wait
_FRAME_S = 0.1  # between two frames of a camera that are shown live
_END_S = 5.0


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
        self._recording = sdk().RecordingStream("handover drive")
        try:
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._recording.save(path)
            elif target == "viewer":
                _check_screen()
                # pip puts it beside this Python, where PATH does not lead in an environment that
                # is not activated
                beside = str(Path(sys.executable).parent)
                os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), beside])
                self._recording.spawn()
            else:
                _check_listening(target)
                self._recording.connect_grpc(f"rerun+http://{target}/proxy")
        except (RuntimeError, OSError) as error:
            raise UsageError(f"--rerun {target}: {' '.join(str(error).split())}") from None
        self._moments: queue.Queue[Moment | None] = queue.Queue(_MOST_MOMENTS)
        self._episode = -1  # that is laid out
        self._shown: dict[str, float] = {}  # {camera: when its last frame was taken, s}
        self._counts: dict[tuple[str, str], int] = {}  # of interventions, as said last
        self._holds: dict[str, str] = {}  # why the robot holds, as said last
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
                part = [moment for moment in moments if moment.episode == number]
                if number != self._episode:
                    self._episode = number
                    self._recording.send_blueprint(_drive_layout(f"episode_{number}", part[0]))
                self._log(part)

    def _log(self, moments: Sequence[Moment]) -> None:
        rerun, root = sdk(), f"episode_{moments[0].episode}"
        times_s = np.array([moment.seconds for moment in moments])
        steps = [moment.step for moment in moments]
        for kind in ("measured", "target", "command"):
            rows = np.array([getattr(step, kind) for step in steps])
            for name, values in zip(moments[0].joints, rows.T, strict=True):
                joint = f"{root}/joints/{entity_of(name)}"
                log_curve(self._recording, f"{joint}/{kind}", times_s, values)
        for name in ("latency_ms", "late_ms"):
            values = [getattr(step, name) for step in steps]
            log_curve(self._recording, f"{root}/{name}", times_s, values)
        for moment in moments:
            self._say(root, moment)
        for name, frame in moments[-1].frames.items():
            if frame.time_s >= self._shown.get(name, -np.inf) + _FRAME_S:
                self._shown[name] = frame.time_s
                image = rerun.Image(frame.image).compress(jpeg_quality=JPEG_QUALITY)
                self._recording.log(f"{root}/{entity_of(name)}", image)

    def _say(self, root: str, moment: Moment) -> None:
        """Put into words what the guard did, and why the robot holds, where that is new."""
        self._recording.set_time(TIMELINE, duration=moment.seconds)
        for kind, count in moment.guard.items():
            if count != self._counts.get((root, kind)):
                self._counts[root, kind] = count
                self._recording.log(f"{root}/guard", sdk().TextLog(f"{kind}: {count}"))
        reason = moment.waits.partition(":")[0]  # behind it are numbers
        if reason != self._holds.get(root, ""):
            self._holds[root] = reason
            self._recording.log(f"{root}/hold", sdk().TextLog(moment.waits or "goes on"))


def _check_screen() -> None:
    """Raise UsageError without a screen: the viewer would end at once, and the drive go on."""
    screens = (os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"))
    if sys.platform == "linux" and not any(screens):
        raise UsageError(
            "--rerun viewer: there is no screen here (DISPLAY is not set); start `rerun "
            "--serve-web`, whose page can be looked at elsewhere, and give --rerun 127.0.0.1:9876"
        )


def _check_listening(target: str) -> None:
    """Raise UsageError where nobody listens: rerun itself would go on, and lose all of it."""
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _END_S).close()
    except OSError as error:
        raise UsageError(
            f"--rerun {target}: no viewer answers there ({error.strerror or error}); start one "
            f"with `rerun --port {port}`"
        ) from None


def _drive_layout(root: str, moment: Moment) -> Any:
    """Lay out an episode: cameras and words above; a joint's curves side by side in one chart.

    By itself the viewer would show one curve of some joints.
    """
    views = sdk().blueprint
    cameras = [
        views.Spatial2DView(origin=f"/{root}/{entity_of(name)}", name=name)
        for name in moment.frames
    ]
    times = [f"/{root}/latency_ms", f"/{root}/late_ms"]
    words = [f"/{root}/guard", f"/{root}/hold"]
    beside = views.Vertical(
        views.TimeSeriesView(origin=f"/{root}", contents=times, name="latency and lateness, ms"),
        views.TextLogView(origin=f"/{root}", contents=words, name="guard and holds"),
    )
    joints = [
        views.TimeSeriesView(origin=f"/{root}/joints/{entity_of(name)}", name=name)
        for name in moment.joints
    ]
    above = views.Horizontal(*cameras, beside)
    page = views.Vertical(above, views.Grid(*joints), row_shares=[2, 3])
    return views.Blueprint(page, collapse_panels=True)
