"""OpenCV cameras for robots: devices, files and network streams, each read by a thread of its own.

A thread keeps the newest frame and when it came; nobody waits for a camera. One that stops sending
has an old frame: what drives the robot sees its age, and holds.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from handover_common import HandoverError, MissingExtra

from handover_client.drive.robots.interface import CameraFrame

_AGAIN_S = 1.0  # between two tries to open a source that has ended
_READ_S = 2.0  # for one frame; then the source is opened again
_JOIN_S = _READ_S + 1.0


@dataclass(frozen=True)
class CameraSettings:
    """Where a camera's pictures come from, and their size in pixels."""

    source: str  # a device (/dev/video0), a file, or an address (rtsp://…, http://…)
    height: int = 480
    width: int = 640
    timeout_s: float = 5.0  # to open the source


class OpenCvCamera:
    """A camera under way: `frame` is its newest picture. A file is played again and again."""

    def __init__(self, name: str, settings: CameraSettings) -> None:
        """Open nothing yet. Raises MissingExtra without OpenCV."""
        try:
            import cv2  # pyright: ignore[reportMissingImports]
        except ModuleNotFoundError as error:
            raise MissingExtra("opencv-python-headless", "trossen") from error
        self._cv2: Any = cv2
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # we say it ourselves
        self.name, self.settings = name, settings
        self._newest: CameraFrame | None = None
        self._problem = ""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"camera {name}", daemon=True)

    def start(self) -> None:
        """Start reading; `wait` says whether there are pictures."""
        self._thread.start()

    def wait(self, deadline_s: float) -> None:
        """Wait for the first picture until a time (time.monotonic). Raises HandoverError."""
        while self._newest is None and not self._problem and time.monotonic() < deadline_s:
            time.sleep(0.01)
        if self._newest is None or self._problem:
            raise HandoverError(
                f"camera {self.name}: {self._problem or 'no picture in time'}: check the source "
                f"{self.settings.source!r}"
            )

    @property
    def frame(self) -> CameraFrame:
        """The newest picture, (H, W, 3) uint8 RGB, and when it was read; after `wait`."""
        if self._problem:
            raise HandoverError(f"camera {self.name}: {self._problem}")
        assert self._newest is not None
        return self._newest

    def close(self) -> None:
        """Stop reading; waits for the end of a read under way, and not longer than its deadline."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            capture = self._open()
            if capture.isOpened():
                self._read(capture)
            elif self._newest is None and "://" not in self.settings.source:
                self._problem = "it cannot be opened"
            capture.release()
            # a file begins again; a device was pulled, or a stream ended
            self._closing.wait(0.01 if self._is_file() else _AGAIN_S)

    def _open(self) -> Any:
        cv2, settings = self._cv2, self.settings
        if settings.source.startswith("/dev/"):
            capture = cv2.VideoCapture(settings.source, cv2.CAP_V4L2)
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height)
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
            return capture
        # a device's read has a deadline of the backend's own: ten seconds
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(1e3 * settings.timeout_s)]
        limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(1e3 * _READ_S)]
        return cv2.VideoCapture(settings.source, cv2.CAP_FFMPEG, limits)

    def _read(self, capture: Any) -> None:
        """Read until the source ends; a file at its own rate."""
        rate_hz = capture.get(self._cv2.CAP_PROP_FPS) if self._is_file() else 0.0
        due_s = time.monotonic()
        while not self._closing.is_set():
            came, picture = capture.read()
            if not came:
                return
            size = self.settings.height, self.settings.width
            if picture.shape != (*size, 3):
                height, width = picture.shape[:2]
                self._problem = (
                    f"its pictures are {height}x{width}, the settings say {size[0]}x{size[1]} "
                    "(height x width)"
                )
                return self._closing.set()
            image = np.ascontiguousarray(picture[..., ::-1])  # OpenCV has BGR
            self._newest = CameraFrame(image, time.monotonic())
            if rate_hz > 0:
                due_s = max(due_s + 1 / rate_hz, time.monotonic() - 1 / rate_hz)
                self._closing.wait(max(0.0, due_s - time.monotonic()))

    def _is_file(self) -> bool:
        return Path(self.settings.source).is_file()


def start_cameras(cameras: Iterable[OpenCvCamera]) -> None:
    """Start cameras together, and wait for a picture of each. Raises HandoverError."""
    cameras = list(cameras)
    began_s = time.monotonic()
    for camera in cameras:
        camera.start()
    for camera in cameras:
        camera.wait(began_s + 2 * camera.settings.timeout_s)
