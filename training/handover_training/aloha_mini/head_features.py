"""What the head stage learns from: snapshots with chunks, and every row of recordings.

The backbone is frozen, so its features are computed once and kept in a file.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from handover_conversion.groot import GrootDataset
from handover_model.network import Backbone
from handover_model.processing import ImageOptions, prepare_frame
from handover_proto import ALOHA_SLOTS

from handover_training.aloha_mini.data.snapshots import (
    OBJECTS,
    TASK_TEXTS,
    Snapshots,
    load_snapshots,
    snapshot_files,
)
from handover_training.aloha_mini.locating import encode_images
from handover_training.aloha_mini.network import HORIZON, IMAGE_EDGE, PIXELS_PER_TOKEN
from handover_training.aloha_mini.prompts import TaskPrompts
from handover_training.aloha_mini.train_head import HeadConfig
from handover_training.progress import track

_OPTIONS = ImageOptions(shortest_image_edge=IMAGE_EDGE)
_FEATURE_BATCH = 64


@dataclass(frozen=True)
class EncodedSamples:
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


def encode_samples(config: HeadConfig, backbone: Backbone) -> EncodedSamples:
    """Compute the features of all samples, or read them where an earlier run has left them.

    What is left counts only for the same weights and files; one file for each folder of data.
    """
    weights = _hash_weights(backbone)
    sources: list[Source] = [SnapshotFolder(path) for path in config.snapshots]
    sources += [RecordedRows(path) for path in config.recordings]
    folder = config.output / "features"
    folder.mkdir(parents=True, exist_ok=True)
    return join_seen([_see_source(source, folder, weights, backbone) for source in sources])


class Source(Protocol):
    """A folder of data."""

    @property
    def path(self) -> Path:
        """Where it is."""
        ...

    def content(self) -> str:
        """Tell one state of the folder from another."""
        ...

    def samples(self) -> Iterator[Snapshots]:
        """Read its samples part by part, so that few images are in memory at once."""
        ...


def _hash_weights(backbone: Backbone) -> str:
    digest = hashlib.sha256()
    for name, value in backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(value.numpy())
    return digest.hexdigest()


@dataclass(frozen=True)
class SnapshotFolder:
    """What handover_training.aloha_mini.data.draw wrote; only snapshots with a chunk count here."""

    path: Path

    def content(self) -> str:
        """Names and sizes of its files."""
        return " ".join(
            f"{file.name} {file.stat().st_size}" for file in snapshot_files([self.path])
        )

    def samples(self) -> Iterator[Snapshots]:
        """Episode by episode."""
        files = snapshot_files([self.path])
        for path in track(files, f"features of {self.path.name}", "episodes", len(files)):
            snapshots = load_snapshots(path, _OPTIONS, PIXELS_PER_TOKEN)
            if snapshots.have_chunks.any():
                yield snapshots[np.flatnonzero(snapshots.have_chunks)]


@dataclass(frozen=True)
class RecordedRows:
    """A GR00T dataset, every row of it."""

    path: Path

    def content(self) -> str:
        """The dataset's own hash."""
        return GrootDataset.open(self.path).content_hash()

    def samples(self) -> Iterator[Snapshots]:
        """All at once."""
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


def join_seen(parts: Sequence[EncodedSamples]) -> EncodedSamples:
    """Put samples behind each other."""
    return EncodedSamples(
        *(np.concatenate([getattr(part, entry.name) for part in parts]) for entry in _FIELDS)
    )


def _see_source(source: Source, folder: Path, weights: str, backbone: Backbone) -> EncodedSamples:
    made_from = hashlib.sha256(f"{weights} {source.content()}".encode()).hexdigest()
    kept = folder / f"{made_from[:16]}.npz"
    if kept.exists():
        with np.load(kept, allow_pickle=False) as file:
            return EncodedSamples(**{entry.name: file[entry.name] for entry in _FIELDS})
    seen = join_seen([_see(backbone, part) for part in source.samples()])
    partial = kept.with_name(f".{kept.name}.partial")
    with partial.open("wb") as file:
        np.savez(file, **{entry.name: getattr(seen, entry.name) for entry in _FIELDS})
    partial.replace(kept)
    return seen


def _see(backbone: Backbone, samples: Snapshots) -> EncodedSamples:
    features = _features(backbone, samples)
    return EncodedSamples(features, samples.states, samples.chunks, samples.tasks, samples.seeds)


@torch.no_grad()
def _features(backbone: Backbone, samples: Snapshots) -> np.ndarray:
    prompts, features = TaskPrompts(), []
    for start in range(0, len(samples), _FEATURE_BATCH):
        part = slice(start, start + _FEATURE_BATCH)
        pixels = (torch.from_numpy(samples.frames[part]).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
        output, _ = encode_images(
            backbone, pixels.contiguous(), *prompts.batch(samples.tasks[part])
        )
        features.append(output.features.numpy())
    return np.concatenate(features)


_FIELDS = dataclasses.fields(EncodedSamples)
