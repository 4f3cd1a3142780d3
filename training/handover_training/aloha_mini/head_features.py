"""Samples of the head stage: snapshots with chunks, and every row of recorded datasets.

The backbone is frozen, so its features are computed once and kept in a file.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from handover_common import atomic_path, track
from handover_conversion.groot import GrootDataset
from handover_model.network import Backbone
from handover_proto import ALOHA_SLOTS, CHUNK_STEPS

from handover_training.aloha_mini.configs import HeadConfig
from handover_training.aloha_mini.data.snapshots import (
    OBJECTS,
    TASK_TEXTS,
    Snapshots,
    load_snapshots,
    snapshot_files,
)
from handover_training.aloha_mini.processing import IMAGE_TOKENS, prepare_image
from handover_training.aloha_mini.tokenizer import TaskPrompts

_FEATURE_BATCH = 64


@dataclass(frozen=True)
class EncodedSamples:
    """N samples with the frozen backbone's features."""

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


def encode_samples(config: HeadConfig, backbone: Backbone) -> EncodedSamples:
    """Compute the features of all samples, or read them where an earlier run has left them.

    An earlier run's count only for the same weights and data; one file for each folder of data.
    """
    weights = _hash_weights(backbone)
    sources: list[SnapshotFolder | RecordedRows] = [SnapshotFolder(one) for one in config.snapshots]
    sources += [RecordedRows(path) for path in config.recordings]
    folder = config.output / "features"
    folder.mkdir(parents=True, exist_ok=True)
    return _join([_encode_source(source, folder, weights, backbone) for source in sources])


@dataclass(frozen=True)
class SnapshotFolder:
    """A folder of snapshot files; only snapshots with a chunk count here."""

    path: Path

    def content(self) -> str:
        """Describe the folder's state: names and sizes of its files."""
        return " ".join(
            f"{file.name} {file.stat().st_size}" for file in snapshot_files([self.path])
        )

    def samples(self) -> Iterator[Snapshots]:
        """Read them episode by episode, so that few images are in memory at once."""
        files = snapshot_files([self.path])
        for path in track(files, f"features of {self.path.name}", "episodes", total=len(files)):
            snapshots = load_snapshots(path, prepare_image)
            if snapshots.have_chunks.any():
                yield snapshots[np.flatnonzero(snapshots.have_chunks)]


@dataclass(frozen=True)
class RecordedRows:
    """Every row of a GR00T dataset."""

    path: Path

    def content(self) -> str:
        """Return the dataset's own hash."""
        return GrootDataset.open(self.path).content_hash()

    def samples(self) -> Iterator[Snapshots]:
        """Read all of them at once."""
        yield read_recording(self.path)


def read_recording(path: Path) -> Snapshots:
    """Read every row of a GR00T dataset as a snapshot; chunks beyond the end repeat its last."""
    dataset = GrootDataset.open(path)
    (camera,) = dataset.cameras
    frames, states, chunks, tasks, seeds = [], [], [], [], []
    for entry in dataset.episodes:
        episode = dataset.read_episode(entry.index)
        rows = np.arange(len(episode))
        actions = episode.action[:, ALOHA_SLOTS]
        wanted = np.minimum(rows[:, None] + np.arange(CHUNK_STEPS), len(episode) - 1)
        states.append(episode.state[:, ALOHA_SLOTS])
        chunks.append(actions[wanted])
        tasks += [TASK_TEXTS.index(episode.task_at(row)) for row in range(len(episode))]
        seeds += [entry.index] * len(episode)
        for frame in dataset.read_frames(entry.index, camera):
            frames.append(prepare_image(frame))
    return Snapshots(
        np.stack(frames),
        np.concatenate(states),
        np.concatenate(chunks),
        np.full((len(frames), OBJECTS, 3), np.nan, np.float32),
        np.array(tasks),
        np.array(seeds),
    )


def _encode_source(
    source: SnapshotFolder | RecordedRows, folder: Path, weights: str, backbone: Backbone
) -> EncodedSamples:
    made_from = hashlib.sha256(f"{weights} {source.content()}".encode()).hexdigest()
    kept = folder / f"{made_from[:16]}.npz"
    if kept.exists():
        with np.load(kept, allow_pickle=False) as file:
            return EncodedSamples(**{entry.name: file[entry.name] for entry in _FIELDS})
    encoded = _join([_encode(backbone, part) for part in source.samples()])
    with atomic_path(kept) as partial, partial.open("wb") as file:
        np.savez(file, **{entry.name: getattr(encoded, entry.name) for entry in _FIELDS})
    return encoded


@torch.no_grad()
def _encode(backbone: Backbone, samples: Snapshots) -> EncodedSamples:
    prompts, features = TaskPrompts(IMAGE_TOKENS), []
    for start in range(0, len(samples), _FEATURE_BATCH):
        part = slice(start, start + _FEATURE_BATCH)
        pixels = (torch.from_numpy(samples.frames[part]).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
        images = pixels.contiguous().split(1)
        features.append(backbone(images, *prompts.batch(samples.tasks[part])).features.numpy())
    return EncodedSamples(
        np.concatenate(features), samples.states, samples.chunks, samples.tasks, samples.seeds
    )


def _join(parts: Sequence[EncodedSamples]) -> EncodedSamples:
    return EncodedSamples(
        *(np.concatenate([getattr(part, entry.name) for part in parts]) for entry in _FIELDS)
    )


def _hash_weights(backbone: Backbone) -> str:
    digest = hashlib.sha256()
    for name, value in backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(value.numpy())
    return digest.hexdigest()


_FIELDS = fields(EncodedSamples)
