"""Training samples: windows prepared by worker processes, and their collation into batches."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from handover_model.network import FlowDraw, ModelConfig, draw_delay, draw_flow
from handover_model.processing import (
    Augmentation,
    NetworkSample,
    Processor,
    TrainingSample,
    pad_action,
    pad_state,
)
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from handover_training.data.feature_cache import FeatureCache
from handover_training.data.frame_cache import FrameCache
from handover_training.data.image_views import ImageViews
from handover_training.data.sampler import (
    DELAY,
    DROPOUT,
    FLOW,
    STATE,
    BatchPlan,
    BatchSlot,
    generator,
)
from handover_training.data.state_noise import StateNoise
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
            for camera in self._table.recordings[window.recording].modality.video.keys
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
class EmbodimentPreparation:
    """What the preparation of one embodiment's samples depends on."""

    processor: Processor
    trained_slots: np.ndarray
    """(horizon, max_action_dim) float32: 1 where an action counts in the loss"""
    state_noise: StateNoise | None

    @property
    def open_slots(self) -> np.ndarray:
        """Which action slots are trained at any step: (max_action_dim,) float32."""
        return np.asarray(self.trained_slots.any(axis=0), np.float32)


@dataclass(frozen=True)
class SamplePreparation:
    """What the preparation of every training sample depends on."""

    embodiments: Sequence[EmbodimentPreparation]
    """Of each dataset"""
    config: ModelConfig
    seed: int
    views: ImageViews
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
    hidden: Tensor | None
    """(S, hidden): frozen features in place of the images"""
    draw: FlowDraw
    dropout_key: int
    source: tuple[int, int]
    """Dataset and episode, to be named when the loss is not finite"""


class TrainingWindows(Dataset[BatchItem]):
    """Prepares windows for their batch slots; what is random depends on step and slot alone."""

    def __init__(
        self,
        table: WindowTable,
        reader: FrameReader,
        how: SamplePreparation,
        features: Sequence[FeatureCache] = (),
    ) -> None:
        """features: of each dataset; none to prepare images"""
        self._table, self._reader, self._how, self._features = table, reader, how, features
        self._prompts: dict[tuple[int, str], NetworkSample] = {}

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, slot: BatchSlot) -> BatchItem:
        how, window = self._how, self._table[slot.window]
        recording, mine = self._table.recordings[window.recording], self._of(window)
        if mine.state_noise is not None:
            noise = generator(how.seed, STATE, slot.step, slot.slot)
            window = mine.state_noise.disturb(window, noise)
        view, hidden = how.views.draw(how.seed, slot), None
        if self._features:
            inputs = self._inputs(window)
            hidden = self._hidden(window, view, len(inputs.input_ids))
        elif how.views.count:
            inputs = self._prepare(window, self._view(window, view))
        else:
            inputs = self._prepare(window, how.views.augmentation(how.seed, slot))
        flow = generator(how.seed, FLOW, slot.step, slot.slot)
        draw = draw_flow(how.config, 1, flow, state_steps=recording.modality.state.steps)
        draw = replace(draw, noise=draw.noise * torch.from_numpy(mine.open_slots))
        if how.max_delay_steps:
            draw = replace(draw, delay=torch.tensor([how.delay(slot)]))
        key = generator(how.seed, DROPOUT, slot.step, slot.slot).integers(-(2**31), 2**31)
        source = (recording.dataset, recording.index)
        return BatchItem(slot, self._target(inputs, window), hidden, draw, int(key), source)

    def observations(self, recording: int, view: int) -> list[NetworkSample]:
        """Prepare all observations of a recording in one view."""
        rows = range(len(self._table.recordings[recording]))
        windows = (self._table.window(recording, row) for row in rows)
        return [self._prepare(window, self._view(window, view)) for window in windows]

    def _view(self, window: Window, view: int) -> Augmentation:
        episode = self._table.recordings[window.recording].index
        return self._how.views.of_row(self._how.seed, episode, window.row, view)

    def _prepare(self, window: Window, augmentation: Augmentation) -> NetworkSample:
        frames = self._reader.frames(window)
        processor = self._of(window).processor
        return processor.prepare(frames, window.state, window.task, augmentation).scaled()

    def _inputs(self, window: Window) -> NetworkSample:
        """Prepare an observation without its images, whose features are cached."""
        key = (window.recording, window.task)  # frames of a recording have one size
        if key not in self._prompts:
            self._prompts[key] = replace(self._prepare(window, Augmentation()), images=())
        processor = self._of(window).processor
        state = processor.codec.normalize_state(window.state)
        return replace(self._prompts[key], state=pad_state(state, processor.config.max_state_dim))

    def _target(self, inputs: NetworkSample, window: Window) -> TrainingSample:
        """Add the chunk; untrained slots are 0 and masked, steps beyond the end are masked."""
        mine = self._of(window)
        config, codec = mine.processor.config, mine.processor.codec
        normalized = codec.normalize_action(window.action, window.state)
        action, mask = pad_action(normalized, config.max_action_horizon, config.max_action_dim)
        mask = mask * mine.trained_slots
        mask[: len(window.real_steps)] *= window.real_steps[:, None]
        return TrainingSample(inputs, action * mine.open_slots, mask)

    def _of(self, window: Window) -> EmbodimentPreparation:
        return self._how.embodiments[self._table.recordings[window.recording].dataset]

    def _hidden(self, window: Window, view: int, tokens: int) -> Tensor:
        recording = self._table.recordings[window.recording]
        cache = self._features[recording.dataset]
        return cache.read(recording.index, view, window.row, tokens)


class Collator:
    """Collates prepared samples into the tensors that TrainingModule.forward takes."""

    def __init__(self, table: WindowTable, plan: BatchPlan, how: SamplePreparation) -> None:
        self._table, self._plan, self._how = table, plan, how
        self._collate = how.embodiments[0].processor.collate_training  # alike for all
        self._slots_per_step = [one.trained_slots.sum(axis=1) for one in how.embodiments]

    def __call__(self, samples: Sequence[BatchItem]) -> dict[str, Tensor | list[Tensor]]:
        """Collate a micro-batch."""
        inputs, target = self._collate([one.sample for one in samples])
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
        hidden = [one.hidden for one in samples if one.hidden is not None]
        if hidden:
            batch["hidden"] = _pad_left(hidden, inputs.input_ids.shape[1])
        return batch

    def _mask_total(self, step: int) -> float:
        """Count the action numbers that the global batch's loss is averaged over."""
        return float(sum(self._counted(slot) for slot in self._plan.step(step)))

    def _counted(self, slot: BatchSlot) -> float:
        real = self._table.real_mask(slot.window)
        real &= np.arange(len(real)) >= self._how.delay(slot)
        recording = self._table.recordings[self._table.locate(slot.window)[0]]
        return self._slots_per_step[recording.dataset][: len(real)][real].sum()


def _pad_left(rows: Sequence[Tensor], length: int) -> Tensor:
    return torch.stack([functional.pad(row, (0, 0, length - len(row), 0)) for row in rows])
