"""The shipped network's processor: image size, normalization statistics of ALOHA samples."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from handover_model.processing import (
    TAG,
    EmbodimentStatistics,
    ImageOptions,
    KeyStatistics,
    Processor,
    ProcessorConfig,
    aloha_processor,
    in_slot,
    make_processor,
    prepare_frame,
)
from handover_proto import GR1_DIMS, RELATIVE_GROUPS, split_groups, widen

from handover_training.aloha_mini.network import WIDTH
from handover_training.aloha_mini.tokenizer import prompt_tokenizer

IMAGE_EDGE = 168  # pixels: 12 x 12 patches, 36 image tokens
PIXELS_PER_TOKEN = 28
IMAGE_TOKENS = (IMAGE_EDGE // PIXELS_PER_TOKEN) ** 2
_IMAGE = ImageOptions(shortest_image_edge=IMAGE_EDGE)


def prepare_image(frame: np.ndarray) -> np.ndarray:
    """Crop and scale a camera's frame: (H, W, 3) -> (168, 168, 3) uint8."""
    return prepare_frame(frame, _IMAGE, PIXELS_PER_TOKEN)


def mini_processor(statistics: EmbodimentStatistics) -> ProcessorConfig:
    """Make the processor's settings for statistics of ALOHA data."""
    config = aloha_processor(statistics, max_state_dim=WIDTH, max_action_dim=WIDTH)
    return dataclasses.replace(in_slot(config, 0), image=_IMAGE)


def open_processor(config: ProcessorConfig) -> Processor:
    """Make the processor itself, with the small tokenizer."""
    return make_processor(config, prompt_tokenizer(), TAG, PIXELS_PER_TOKEN)


def chunk_statistics(states: np.ndarray, chunks: np.ndarray) -> EmbodimentStatistics:
    """Measure ALOHA samples: (N, 14) states, (N, 16, 14) chunks of absolute targets."""
    state, action = split_groups(widen(states)), split_groups(widen(chunks))
    relative = {
        key: _measure(action[key].astype(np.float64) - state[key][:, None])
        for key in RELATIVE_GROUPS
    }
    return EmbodimentStatistics(
        {key: _measure(state[key]) for key in GR1_DIMS},
        {key: _measure(action[key].reshape(-1, dim)) for key, dim in GR1_DIMS.items()},
        relative,
    )


def widened(known: EmbodimentStatistics, more: EmbodimentStatistics) -> EmbodimentStatistics:
    """Widen statistics' ranges to hold those of others as well; all else stays as it was."""

    def each(
        mine: Mapping[str, KeyStatistics], others: Mapping[str, KeyStatistics]
    ) -> dict[str, KeyStatistics]:
        return {
            key: dataclasses.replace(
                entry,
                min=np.minimum(entry.min, others[key].min),
                max=np.maximum(entry.max, others[key].max),
            )
            for key, entry in mine.items()
        }

    return EmbodimentStatistics(
        each(known.state, more.state),
        each(known.action, more.action),
        each(known.relative_action, more.relative_action),
    )


def groups_of(joints: np.ndarray) -> Mapping[str, np.ndarray]:
    """Name the groups of joint rows: (T, 14) -> {group: (T, dim)}."""
    return split_groups(widen(joints))


def _measure(values: np.ndarray) -> KeyStatistics:
    values = values.astype(np.float64)
    low, high = np.quantile(values, (0.01, 0.99), axis=0)
    return KeyStatistics(
        values.min(0), values.max(0), values.mean(0), values.std(0), np.asarray(low), high
    )
