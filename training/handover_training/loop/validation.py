"""Open-loop error on held-out episodes: chunks predicted from recorded observations.

As in the evaluation of the original: a chunk from every horizon-th row, compared with what the
demonstrator did until the episode's end, in physical units, over all slots. The same error in the
critical intervals, where a gripper closes or opens, is measured apart: there an episode is decided
(arXiv:2606.29898), and they are a small part of its steps.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import add

import numpy as np
import torch
from handover_model.network import ModelConfig
from handover_model.processing import Processor
from torch import Tensor, nn

from handover_training.data.dataset import FrameReader
from handover_training.data.episodes import EpisodeRows
from handover_training.data.windows import Window, WindowTable

NOISE_SEED = 1606  # the same noise at every evaluation, so that checkpoints can be compared


ACCURATE = 0.1  # an action number that is wrong by at most this (rad, 1) is accurate
EVENT_SHARE = 0.01  # of a gripper's range in the episode: a step that moves it more is an event
AROUND_STEPS = 5  # before and after an event that are critical too


@dataclass(frozen=True)
class ErrorSums:
    """Sums over action numbers, from which errors of any number of processes are made."""

    squared: float = 0.0
    absolute: float = 0.0
    count: float = 0.0
    accurate: float = 0.0
    critical_squared: float = 0.0
    critical_count: float = 0.0

    def __add__(self, other: "ErrorSums") -> "ErrorSums":
        return ErrorSums(*map(add, dataclasses.astuple(self), dataclasses.astuple(other)))

    def metrics(self) -> dict[str, float]:
        """Return the errors; the critical one where there are critical steps."""
        count = max(self.count, 1.0)
        found = {
            "open_loop_mse": self.squared / count,
            "open_loop_mae": self.absolute / count,
            "open_loop_accuracy": self.accurate / count,
        }
        if self.critical_count:
            found["open_loop_critical_mse"] = self.critical_squared / self.critical_count
        return found


def evaluation_rows(table: WindowTable) -> list[tuple[int, int]]:
    """List the (recording, row) pairs that chunks are predicted from."""
    return [
        (place, row)
        for place, recording in enumerate(table.recordings)
        for row in range(0, len(recording), recording.modality.action.steps)
    ]


def critical_rows(recording: EpisodeRows) -> np.ndarray:
    """Mark the rows around gripper events: (rows,) bool.

    Grippers are the groups whose actions are absolute. Contacts are not in the data.
    """
    modality = recording.modality
    relative = modality.relative_keys()
    critical = np.zeros(len(recording), bool)
    for key in modality.action.keys:
        if key in relative:
            continue
        values = recording.action[key].astype(np.float64)
        moved = np.abs(np.diff(values, axis=0, prepend=values[:1]))
        critical |= (moved > EVENT_SHARE * np.ptp(values, axis=0)).any(axis=1)
    around = np.ones(2 * AROUND_STEPS + 1)
    return np.convolve(critical, around)[AROUND_STEPS : AROUND_STEPS + len(critical)] > 0


def compare(
    chunk: Mapping[str, np.ndarray], window: Window, critical: np.ndarray | None = None
) -> ErrorSums:
    """Compare a predicted chunk with the recorded one, as far as it is within the episode.

    critical: (horizon,) bool, the chunk's critical steps.
    """
    real = window.real_steps
    wrong = np.concatenate(
        [(chunk[key] - window.action[key]).astype(np.float64)[real] for key in chunk], axis=-1
    )
    around = wrong[critical[real]] if critical is not None else wrong[:0]
    return ErrorSums(
        squared=float((wrong**2).sum()),
        absolute=float(np.abs(wrong).sum()),
        count=float(wrong.size),
        accurate=float((np.abs(wrong) <= ACCURATE).sum()),
        critical_squared=float((around**2).sum()),
        critical_count=float(around.size),
    )


@dataclass(frozen=True)
class OpenLoop:
    """Predicts chunks for held-out windows in batches."""

    table: WindowTable
    reader: FrameReader
    processors: Sequence[Processor]
    """Of each dataset"""
    config: ModelConfig
    batch: int

    def measure(self, model: nn.Module, device: torch.device, rank: int, world: int) -> ErrorSums:
        """Sum the errors of this process's share; every process runs as many batches.

        model: a TrainingModule, wrapped or not.
        """
        rows = evaluation_rows(self.table)
        rounds = -(-len(rows) // (self.batch * world))
        sums = ErrorSums()
        for turn in range(rounds):
            first = (turn * world + rank) * self.batch
            mine = rows[first : first + self.batch]
            # a process without rows takes part too: the others may wait for its weights
            sums += self._predict(model, device, mine or rows[:1], counts=bool(mine))
        return sums

    def _predict(
        self, model: nn.Module, device: torch.device, rows: Sequence[tuple[int, int]], counts: bool
    ) -> ErrorSums:
        windows = [self.table.window(*place) for place in rows]
        samples = [
            self._of(window).prepare(self.reader.frames(window), window.state, window.task).scaled()
            for window in windows
        ]
        inputs = self.processors[0].collate(samples).to(device, torch.float32)
        noise = torch.cat([self._noise(*place) for place in rows]).to(device)
        with torch.no_grad():
            chunks = model(**vars(inputs), noise=noise)["chunk"].float().cpu().numpy()
        if not counts:
            return ErrorSums()
        decoded = [
            self._of(window).decode(chunk, window.state)
            for chunk, window in zip(chunks, windows, strict=True)
        ]
        compared = [
            compare(chunk, window, self._critical(window))
            for chunk, window in zip(decoded, windows, strict=True)
        ]
        return sum(compared, ErrorSums())

    def _of(self, window: Window) -> Processor:
        return self.processors[self.table.recordings[window.recording].dataset]

    def _critical(self, window: Window) -> np.ndarray:
        """Mark a window's critical steps: (horizon,) bool."""
        recording = self.table.recordings[window.recording]
        rows = window.row + np.asarray(recording.modality.action.delta_indices)
        return critical_rows(recording)[rows.clip(0, len(recording) - 1)]

    def _noise(self, recording: int, row: int) -> Tensor:
        draw = np.random.default_rng([NOISE_SEED, recording, row])
        shape = (1, self.config.action_horizon, self.config.max_action_dim)
        return torch.from_numpy(draw.standard_normal(shape, dtype=np.float32))
