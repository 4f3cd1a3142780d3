"""Windows: an observation and the chunk of actions that followed it, indexed by number.

Every row of an episode that an action follows starts a window. Where the chunk would run over the
episode's end, the last action is repeated and masked, so that the end is trained on as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from handover_training.data.episodes import EpisodeRows


@dataclass(frozen=True)
class Window:
    """One row's observation, and what the demonstrator did from there."""

    recording: int
    """The episode's place among the recordings"""
    row: int
    frame_rows: tuple[int, ...]
    """Rows of the images, oldest first"""
    state: dict[str, np.ndarray]
    """{group: (state steps, dim) float32}, raw"""
    action: dict[str, np.ndarray]
    """{group: (horizon, dim) float32}, raw"""
    real_steps: np.ndarray
    """(horizon,) bool: false where the chunk is beyond the episode's end"""
    task: str


class WindowTable:
    """All windows of some episodes, numbered consecutively."""

    def __init__(self, recordings: Sequence[EpisodeRows]) -> None:
        self.recordings = recordings
        self._ends = np.cumsum([_windows(recording) for recording in recordings])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def locate(self, number: int) -> tuple[int, int]:
        """Return a window's recording and row."""
        recording = int(np.searchsorted(self._ends, number, side="right"))
        start = int(self._ends[recording - 1]) if recording else 0
        return recording, number - start

    def real_mask(self, number: int) -> np.ndarray:
        """Mark the steps of a window's chunk that lie within its episode: (horizon,) bool."""
        recording, row = self.locate(number)
        source = self.recordings[recording]
        rows = row + np.asarray(source.modality.action.delta_indices)
        return (rows >= 0) & (rows < len(source))

    def __getitem__(self, number: int) -> Window:
        recording, row = self.locate(number)
        return self.window(recording, row)

    def window(self, recording: int, row: int) -> Window:
        """Cut the window that starts at a row of a recording."""
        source = self.recordings[recording]
        modality = source.modality
        last = len(source) - 1
        state_rows = np.clip(row + np.asarray(modality.state.delta_indices), 0, last)
        frame_rows = np.clip(row + np.asarray(modality.video.delta_indices), 0, last)
        wanted = row + np.asarray(modality.action.delta_indices)
        rows = np.clip(wanted, 0, last)
        return Window(
            recording=recording,
            row=row,
            frame_rows=tuple(int(one) for one in frame_rows),
            state={key: values[state_rows] for key, values in source.state.items()},
            action={key: values[rows] for key, values in source.action.items()},
            real_steps=rows == wanted,
            task=source.tasks[row],
        )


def _windows(recording: EpisodeRows) -> int:
    """Count an episode's windows; no action follows the last rows if chunks start later."""
    first = recording.modality.action.delta_indices[0]
    return max(0, len(recording) - max(0, first))
