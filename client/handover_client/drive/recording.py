"""Recording of driven episodes as a LeRobot dataset: all cameras at the control rate, and marks.

Each finished episode is kept at once, so that a kill loses the running one alone; the dataset is
put together of them at the end. Frames are encoded in a thread, while the robot goes on.
"""

import json
import queue
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from handover_common import HandoverError, WorkFolder, write_bytes, write_json
from handover_conversion.lerobot import (
    RecordedSteps,
    RecordingFormat,
    VideoRecorder,
    write_recordings,
)

from handover_client.drive.moments import NearestFrames
from handover_client.drive.robots.interface import CameraFrame, Reading, RobotDescription

MARKS = ("intervention", "guarded", "held")  # and `success`, the operator's word
MEASURES = ("latency_ms", "age_ms", "late_ms")
METADATA = "meta/drive.json"  # beside LeRobot's own files
_CODEC = "h264"
_PREFIX = "observation.images."
_MOST_WAITING_BYTES = 1_000_000_000  # of frames that wait for the encoder


@dataclass(frozen=True)
class Step:
    """One control step: measured joints, what was asked for, what was sent, and how it came."""

    measured: np.ndarray
    target: np.ndarray
    command: np.ndarray
    intervention: bool  # a person or the expert drove
    guarded: bool  # the guard changed the target
    held: bool  # no chunk, or nothing to act on: the robot stayed
    latency_ms: float  # of the newest chunk; 0 before the first
    age_ms: float  # of the measured joints
    late_ms: float  # after the step's own time


@dataclass
class Episode:
    """What came of an episode, as JSON; `outcome` is the operator's word."""

    episode: int
    outcome: str = ""  # success, failure, or empty where nobody said
    ended: str = ""
    error: str = ""  # of a server that was lost, or whose answers cannot be used
    steps: int = 0
    seconds: float = 0.0
    guard: dict[str, int] = field(default_factory=dict)
    guarded_steps: int = 0
    holds: dict[str, int] = field(default_factory=dict)
    intervention_steps: int = 0
    latency_ms: list[float] = field(default_factory=list)
    dropped_steps: int = 0
    outages: int = 0
    checkpoint_hash: str = ""


class EpisodeRecorder:
    """Takes an episode's steps and frames, and keeps it in a folder when it is finished."""

    def __init__(self, cameras: Mapping[str, tuple[int, int]], fps: int, most_steps: int) -> None:
        """Start the encoders; most_steps: how long the episode may become."""
        self.steps: list[Step] = []
        self._recorders = {
            name: VideoRecorder(_CODEC, fps, *size, length=most_steps)
            for name, size in cameras.items()
        }
        # {camera: frame} of a step, and the bytes that are new in it: a frame is often shown again
        self._waiting: queue.Queue[tuple[dict[str, np.ndarray], int] | None] = queue.Queue()
        self._nearest = NearestFrames(cameras)
        self._last: dict[str, CameraFrame] = {}  # that were given to the encoders
        self._bytes_in = self._bytes_out = 0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._encode, name="encode", daemon=True)
        self._thread.start()

    def add(self, step: Step, reading: Reading) -> None:
        """Record a step and what was measured, with the frames of its time that are still to come.

        Raises HandoverError where encoding fails, or is a gigabyte behind.
        """
        self._check()
        self.steps.append(step)
        for frames in self._nearest.add(reading.time_s, reading.frames):
            self._put(frames)
        if self._bytes_in - self._bytes_out > _MOST_WAITING_BYTES:
            raise HandoverError(
                "this machine encodes the cameras' frames too slowly to record them: fewer "
                "cameras, or a faster machine"
            )

    def save(self, folder: Path, episode: Episode) -> None:
        """Write the episode's files into an empty folder."""
        self.close()
        self._check()
        for name, recorder in self._recorders.items():
            write_bytes(folder / f"{name}.mp4", recorder.video)
        names = [each.name for each in fields(Step)]
        rows = {name: np.array([getattr(step, name) for step in self.steps]) for name in names}
        with (folder / "steps.npz").open("wb") as file:
            np.savez(file, allow_pickle=False, **rows)
        statistics = {name: recorder.statistics for name, recorder in self._recorders.items()}
        write_json(folder / "statistics.json", statistics)
        write_json(folder / "episode.json", asdict(episode))

    def close(self) -> None:
        """End the encoders; waits for the frames that are there."""
        if self._thread.is_alive():
            for frames in self._nearest.rest():
                self._put(frames)
            self._waiting.put(None)
            self._thread.join()

    def _put(self, frames: dict[str, CameraFrame]) -> None:
        new = sum(
            frame.image.nbytes
            for name, frame in frames.items()
            if frame is not self._last.get(name)
        )
        self._last, self._bytes_in = frames, self._bytes_in + new
        self._waiting.put(({name: frame.image for name, frame in frames.items()}, new))

    def _check(self) -> None:
        if self._error:
            raise HandoverError(f"the cameras' frames cannot be recorded: {self._error}")

    def _encode(self) -> None:
        try:
            with ExitStack() as stack:
                for recorder in self._recorders.values():
                    stack.enter_context(recorder)
                while (waited := self._waiting.get()) is not None:
                    for name, frame in waited[0].items():
                        self._recorders[name].add(frame)
                    self._bytes_out += waited[1]
        except Exception as error:  # whatever it is ends the recording, by the caller's next frame
            self._error = error
            while self._waiting.get() is not None:  # nobody waits for a place
                pass


class DriveFolder(WorkFolder):
    """A session under way: episodes/NNNNNN, each there as a whole or not at all."""

    folders = ("episodes",)

    def __init__(self, output: Path, plan: Mapping[str, Any]) -> None:
        """See WorkFolder."""
        super().__init__(output, plan, "drive")

    def finished_count(self) -> int:
        """Count the finished episodes."""
        return len(self._places())

    def keep(self, recorder: EpisodeRecorder, episode: Episode) -> None:
        """Keep a finished episode."""
        partial = self.fresh_folder("running")
        recorder.save(partial, episode)
        partial.rename(self.path / f"episodes/{episode.episode:06d}")

    def episodes(self) -> list[Episode]:
        """Read what came of the finished episodes."""
        return [
            Episode(**json.loads((each / "episode.json").read_text())) for each in self._places()
        ]

    def write_dataset(self, task: str, robot: RobotDescription) -> Path:
        """Put the dataset together of the finished episodes; returns its folder."""
        results = self.fresh_folder("dataset")
        form = RecordingFormat(
            task=task,
            fps=round(robot.control_rate_hz),
            cameras={f"{_PREFIX}{name}": size for name, size in robot.cameras.items()},
            codec=_CODEC,
            marks=(*MARKS, "success"),
            measures=MEASURES,
            joints=robot.joints,
            robot_type=robot.kind,
        )
        recorded = (_recorded(place, robot.cameras) for place in self._places())
        write_recordings(results, form, recorded)
        return results

    def _places(self) -> list[Path]:
        return sorted((self.path / "episodes").glob("[0-9]*"))


def _recorded(place: Path, cameras: Mapping[str, tuple[int, int]]) -> RecordedSteps:
    episode = json.loads((place / "episode.json").read_text())
    statistics = json.loads((place / "statistics.json").read_text())
    with np.load(place / "steps.npz", allow_pickle=False) as steps:
        success = np.full(len(steps["command"]), episode["outcome"] == "success")
        return RecordedSteps(
            state=steps["measured"],
            action=steps["command"],
            videos={f"{_PREFIX}{name}": place / f"{name}.mp4" for name in cameras},
            image_statistics={f"{_PREFIX}{name}": statistics[name] for name in cameras},
            marks={**{name: steps[name] for name in MARKS}, "success": success},
            measures={name: steps[name] for name in MEASURES},
        )
