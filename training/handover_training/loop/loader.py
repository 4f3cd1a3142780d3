"""Loader of a run's micro-batches, in worker processes that leave Ctrl-C to the trainer."""

import sys
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from typing import Any

from handover_common.parallel import ctrl_c_held_back
from torch.utils.data import DataLoader

from handover_training.data.dataset import Collator, TrainingWindows
from handover_training.data.sampler import ProcessBatches
from handover_training.loop.validation import OpenLoop

PREFETCHED = 4  # micro-batches that each worker prepares ahead


class _Loader(DataLoader):
    """A DataLoader whose workers leave Ctrl-C to this process, from their first instruction on."""

    def __iter__(self) -> Any:
        with ctrl_c_held_back():
            return super().__iter__()


def start_worker(worker: int) -> None:
    """Stay silent when the trainer is interrupted while it fetches a batch from this worker.

    multiprocessing's thread that hands out a tensor's memory reports a taker that goes away to
    sys.excepthook; a sample that fails reaches the trainer, which reports it, by another path.
    """
    former = sys.excepthook

    def report(kind: Any, error: Any, trace: Any) -> None:
        if not issubclass(kind, (EOFError, OSError, AuthenticationError)):
            former(kind, error, trace)

    sys.excepthook = report


@dataclass(frozen=True)
class TrainingData:
    """Everything that batches and evaluations are made of."""

    windows: TrainingWindows
    batches: ProcessBatches
    collator: Collator
    open_loop: OpenLoop | None
    """None where no episode is held out"""
    dataset_names: tuple[str, ...]

    def loader(self, workers: int, *, pins: bool) -> DataLoader:
        """Make a loader; pins: put batches into pinned memory, for a GPU."""
        return _Loader(
            self.windows,
            batch_sampler=self.batches,
            collate_fn=self.collator,
            worker_init_fn=start_worker,
            num_workers=workers,
            prefetch_factor=PREFETCHED if workers else None,
            pin_memory=pins,
        )
