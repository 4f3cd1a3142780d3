"""Training samples: windows prepared by worker processes, and their collation into batches."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from handover_model.network import FlowDraw, ModelConfig, draw_delay, draw_flow
from handover_model.processing import (
    CENTER,
    Augmentation,
    Processor,
    TrainingSample,
    draw_augmentation,
)
from torch import Tensor
from torch.utils.data import Dataset

from handover_training.data.frame_cache import FrameCache
from handover_training.data.sampler import (
    AUGMENTATION,
    DELAY,
    DROPOUT,
    FLOW,
    BatchPlan,
    BatchSlot,
    generator,
)
from handover_training.data.windows import Window, WindowTable

OPEN_FILES = 256  # memory maps that a worker holds open at once


class FrameReader:
    """Reads a window's frames from the cache of its dataset."""

    def __init__(self, table: WindowTable, caches: Sequence[FrameCache]) -> None:
        self._table, self._caches = table, caches
        self._open: dict[tuple[int, str], np.ndarray] = {}

    def frames(self, window: Window) -> dict[str, list[np.ndarray]]:
        """Return {camera: frames, oldest first}, each (H, W, 3) uint8, not yet read from disk."""
        return {
            camera: [self._map(window.recording, camera)[row] for row in window.frame_rows]
            for camera in self._table.modality.video.keys
        }

    def _map(self, place: int, camera: str) -> np.ndarray:
        if (place, camera) not in self._open:
            if len(self._open) >= OPEN_FILES:
                self._open.pop(next(iter(self._open)))
            recording = self._table.recordings[place]
            cache = self._caches[recording.dataset]
            self._open[place, camera] = cache.frames(recording.index, camera)
        return self._open[place, camera]


@dataclass(frozen=True)
class SamplePreparation:
    """What the preparation of every training sample depends on."""

    processor: Processor
    config: ModelConfig
    trained_slots: np.ndarray
    """(horizon, max_action_dim) float32: 1 where an action counts in the loss"""
    seed: int
    random_crop: bool
    augments: bool
    """Whether colors and rotation change, by the processor's options"""
    max_delay_steps: int = 0
    """The most steps at a chunk's start that are given clean; see clean_steps"""

    def delay(self, slot: BatchSlot) -> int:
        """Draw a slot's number of clean steps; it depends on step and slot alone."""
        if not self.max_delay_steps:
            return 0
        place = generator(self.seed, DELAY, slot.step, slot.slot)
        return draw_delay(self.max_delay_steps, place)


@dataclass(frozen=True)
class BatchItem:
    """One slot of a batch, ready to be collated."""

    slot: BatchSlot
    sample: TrainingSample
    draw: FlowDraw
    dropout_key: int
    source: tuple[int, int]
    """Dataset and episode, to be named when the loss is not finite"""


class TrainingWindows(Dataset[BatchItem]):
    """Prepares windows for their batch slots; what is random depends on step and slot alone."""

    def __init__(self, table: WindowTable, reader: FrameReader, how: SamplePreparation) -> None:
        self._table, self._reader, self._how = table, reader, how

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, slot: BatchSlot) -> BatchItem:
        how, window = self._how, self._table[slot.window]
        sample = how.processor.prepare_training(
            self._reader.frames(window),
            window.state,
            window.task,
            window.action,
            self._augmentation(slot),
        )
        mask = sample.action_mask * how.trained_slots
        mask[: len(window.real_steps)] *= window.real_steps[:, None]
        flow = generator(how.seed, FLOW, slot.step, slot.slot)
        steps = self._table.modality.state.steps
        draw = draw_flow(how.config, 1, flow, state_steps=steps)
        if how.max_delay_steps:
            draw = replace(draw, delay=torch.tensor([how.delay(slot)]))
        key = generator(how.seed, DROPOUT, slot.step, slot.slot).integers(-(2**31), 2**31)
        recording = self._table.recordings[window.recording]
        source = (recording.dataset, recording.index)
        return BatchItem(slot, replace(sample, action_mask=mask), draw, int(key), source)

    def _augmentation(self, slot: BatchSlot) -> Augmentation:
        how = self._how
        if not (how.random_crop or how.augments):
            return Augmentation()
        drawn = draw_augmentation(
            how.processor.config.image, generator(how.seed, AUGMENTATION, slot.step, slot.slot)
        )
        place = drawn.place if how.random_crop else CENTER
        return replace(drawn, place=place) if how.augments else Augmentation(place=place)


class Collator:
    """Collates prepared samples into the tensors that TrainingModule.forward takes."""

    def __init__(self, table: WindowTable, plan: BatchPlan, how: SamplePreparation) -> None:
        self._table, self._plan, self._how = table, plan, how
        horizon = table.modality.action.steps
        self._slots_per_step = how.trained_slots[:horizon].sum(axis=1)

    def __call__(self, samples: Sequence[BatchItem]) -> dict[str, Tensor | list[Tensor]]:
        """Collate a micro-batch."""
        inputs, target = self._how.processor.collate_training([one.sample for one in samples])
        batch: dict[str, Tensor | list[Tensor]] = {
            **vars(inputs),
            "action": target.action,
            "action_mask": target.action_mask,
            "noise": torch.cat([one.draw.noise for one in samples]),
            "time": torch.cat([one.draw.time for one in samples]),
            "drops_state": torch.cat([one.draw.drops_state for one in samples]),
            "dropout_keys": torch.tensor([one.dropout_key for one in samples], dtype=torch.int32),
            "mask_total": torch.tensor(self._mask_total(samples[0].slot.step)),
            "sources": torch.tensor([one.source for one in samples]),
        }
        for name in ("state_noise", "delay"):
            drawn = [getattr(one.draw, name) for one in samples]
            if drawn[0] is not None:
                batch[name] = torch.cat(drawn)
        return batch

    def _mask_total(self, step: int) -> float:
        """Count the action numbers that the global batch's loss is averaged over."""
        real = sum(self._counted(slot) for slot in self._plan.step(step))
        return float((np.asarray(real) * self._slots_per_step).sum())

    def _counted(self, slot: BatchSlot) -> np.ndarray:
        real = self._table.real_mask(slot.window)
        return real & (np.arange(len(real)) >= self._how.delay(slot))
