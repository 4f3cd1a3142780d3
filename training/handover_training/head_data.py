"""What the head stage learns from: snapshots with chunks, and every row of recordings.

The backbone is frozen, so its features are computed once and kept in a file.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from handover_conversion.groot_dataset import GrootDataset
from handover_model.backbone import Backbone
from handover_model.image import ImageOptions, prepare_frame
from handover_proto.embodiment import ALOHA_SLOTS

from handover_training.locating import see
from handover_training.mini_base import HORIZON, IMAGE_EDGE, PIXELS_PER_TOKEN
from handover_training.progress import track
from handover_training.prompts import TaskPrompts
from handover_training.snapshots import (
    OBJECTS,
    TASK_TEXTS,
    Snapshots,
    load_snapshots,
    snapshot_files,
)
from handover_training.train_head import HeadConfig

_OPTIONS = ImageOptions(shortest_image_edge=IMAGE_EDGE)
_FEATURE_BATCH = 64


@dataclass(frozen=True)
class SeenSamples:
    """N samples as the frozen backbone sees them."""

    features: np.ndarray
    """(N, tokens, hidden) float32, of the padded prompt"""
    states: np.ndarray
    """(N, 14) float32"""
    chunks: np.ndarray
    """(N, 16, 14) float32, absolute targets"""
    tasks: np.ndarray
    """(N,) int64, of TASK_TEXTS"""
    seeds: np.ndarray
    """(N,) int64, of the episodes"""

    def __len__(self) -> int:
        return len(self.tasks)


def see_samples(config: HeadConfig, backbone: Backbone) -> SeenSamples:
    """Compute the features of all samples, or read them where an earlier run has left them.

    What is left counts only for the same weights and files. Images are in memory a file at a time.
    """
    kept = config.output / "features.npz"
    files = snapshot_files(config.snapshots)
    made_from = _fingerprint(config, files)
    if kept.exists():
        with np.load(kept, allow_pickle=False) as file:
            if "made_from" in file and str(file["made_from"]) == made_from:
                return SeenSamples(**{entry.name: file[entry.name] for entry in _FIELDS})
    seen = join_seen([_see(backbone, part) for part in _samples(config, files)])
    config.output.mkdir(parents=True, exist_ok=True)
    partial = kept.with_name(f".{kept.name}.partial")
    with partial.open("wb") as file:
        arrays = {entry.name: getattr(seen, entry.name) for entry in _FIELDS}
        np.savez(file, made_from=np.array(made_from), **arrays)
    partial.replace(kept)
    return seen


def read_recording(path: Path) -> Snapshots:
    """Read every row of a GR00T dataset as a snapshot; chunks beyond the end repeat its last."""
    dataset = GrootDataset.open(path)
    (camera,) = dataset.cameras
    frames, states, chunks, tasks, seeds = [], [], [], [], []
    for entry in dataset.episodes:
        episode = dataset.read_episode(entry.index)
        rows = np.arange(len(episode))
        actions = episode.action[:, ALOHA_SLOTS]
        wanted = np.minimum(rows[:, None] + np.arange(HORIZON), len(episode) - 1)
        states.append(episode.state[:, ALOHA_SLOTS])
        chunks.append(actions[wanted])
        tasks += [TASK_TEXTS.index(episode.task_at(row)) for row in range(len(episode))]
        seeds += [entry.index] * len(episode)
        for frame in dataset.read_frames(entry.index, camera):
            frames.append(prepare_frame(frame, _OPTIONS, PIXELS_PER_TOKEN))
    return Snapshots(
        np.stack(frames),
        np.concatenate(states),
        np.concatenate(chunks),
        np.full((len(frames), OBJECTS, 3), np.nan, np.float32),
        np.array(tasks),
        np.array(seeds),
    )


def join_seen(parts: Sequence[SeenSamples]) -> SeenSamples:
    """Put samples behind each other."""
    return SeenSamples(
        *(np.concatenate([getattr(part, entry.name) for part in parts]) for entry in _FIELDS)
    )


def _samples(config: HeadConfig, files: Sequence[Path]) -> Iterator[Snapshots]:
    """Read all samples that have a chunk, episode by episode."""
    for path in track(files, "features", "episodes", len(files)):
        snapshots = load_snapshots(path, _OPTIONS, PIXELS_PER_TOKEN)
        if snapshots.have_chunks.any():
            yield snapshots[np.flatnonzero(snapshots.have_chunks)]
    for path in config.recordings:
        yield read_recording(path)


def _see(backbone: Backbone, samples: Snapshots) -> SeenSamples:
    features = _features(backbone, samples)
    return SeenSamples(features, samples.states, samples.chunks, samples.tasks, samples.seeds)


def _fingerprint(config: HeadConfig, files: Sequence[Path]) -> str:
    """Name what features are made from: the backbone's weights and the data's files."""
    digest = hashlib.sha256(config.backbone.read_bytes())
    for path in files:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
    for path in config.recordings:
        digest.update(GrootDataset.open(path).content_hash().encode())
    return digest.hexdigest()


@torch.no_grad()
def _features(backbone: Backbone, samples: Snapshots) -> np.ndarray:
    prompts, features = TaskPrompts(), []
    for start in range(0, len(samples), _FEATURE_BATCH):
        part = slice(start, start + _FEATURE_BATCH)
        pixels = (torch.from_numpy(samples.frames[part]).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
        output, _ = see(backbone, pixels.contiguous(), *prompts.batch(samples.tasks[part]))
        features.append(output.features.numpy())
    return np.concatenate(features)


_FIELDS = dataclasses.fields(SeenSamples)
