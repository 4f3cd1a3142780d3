"""Open-loop error on held-out episodes: chunks predicted from recorded observations.

As in the evaluation of the original: a chunk from every horizon-th row, compared with what the
demonstrator did until the episode's end, in physical units, over all slots.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from handover_model.network import ModelConfig
from handover_model.processing import Processor
from torch import Tensor, nn

from handover_training.data.dataset import FrameReader
from handover_training.data.windows import Window, WindowTable

NOISE_SEED = 1606  # the same noise at every evaluation, so that checkpoints can be compared


@dataclass(frozen=True)
class ErrorSums:
    """Sums over action numbers, from which errors of any number of processes are made."""

    squared: float = 0.0
    absolute: float = 0.0
    count: float = 0.0

    def __add__(self, other: "ErrorSums") -> "ErrorSums":
        return ErrorSums(
            self.squared + other.squared, self.absolute + other.absolute, self.count + other.count
        )

    def metrics(self) -> dict[str, float]:
        """Return mean squared and mean absolute error."""
        count = max(self.count, 1.0)
        return {"open_loop_mse": self.squared / count, "open_loop_mae": self.absolute / count}


def evaluation_rows(table: WindowTable) -> list[tuple[int, int]]:
    """List the (recording, row) pairs that chunks are predicted from."""
    horizon = table.modality.action.steps
    return [
        (place, row)
        for place, recording in enumerate(table.recordings)
        for row in range(0, len(recording), horizon)
    ]


def compare(chunk: Mapping[str, np.ndarray], window: Window) -> ErrorSums:
    """Compare a predicted chunk with the recorded one, as far as it is within the episode."""
    real = window.real_steps
    wrong = np.concatenate(
        [(chunk[key] - window.action[key]).astype(np.float64)[real] for key in chunk], axis=-1
    )
    return ErrorSums(float((wrong**2).sum()), float(np.abs(wrong).sum()), float(wrong.size))


@dataclass(frozen=True)
class OpenLoop:
    """Predicts chunks for held-out windows in batches."""

    table: WindowTable
    reader: FrameReader
    processor: Processor
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
            self.processor.prepare(self.reader.frames(window), window.state, window.task).scaled()
            for window in windows
        ]
        inputs = self.processor.collate(samples).to(device, torch.float32)
        noise = torch.cat([self._noise(*place) for place in rows]).to(device)
        with torch.no_grad():
            chunks = model(**vars(inputs), noise=noise)["chunk"].float().cpu().numpy()
        if not counts:
            return ErrorSums()
        decoded = [
            self.processor.decode(chunk, window.state)
            for chunk, window in zip(chunks, windows, strict=True)
        ]
        compared = [compare(*pair) for pair in zip(decoded, windows, strict=True)]
        return sum(compared, ErrorSums())

    def _noise(self, recording: int, row: int) -> Tensor:
        draw = np.random.default_rng([NOISE_SEED, recording, row])
        shape = (1, self.config.action_horizon, self.config.max_action_dim)
        return torch.from_numpy(draw.standard_normal(shape, dtype=np.float32))
