"""Episodes of a run: their rows in memory, and which of them are held out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from handover_common import UsageError
from handover_conversion import DatasetError, FaultyDataset, fault
from handover_conversion.groot import GrootDataset
from handover_model.processing import ModalityConfig, modality_config_json
from handover_proto import TrainingRecord

from handover_training.errors import TrainingError

DEFAULT_HELD_OUT = 0.1  # fraction of the episodes, unless --val-episodes is given


@dataclass(frozen=True)
class EpisodeRows:
    """One episode's rows, by the groups of the modality config."""

    dataset: int
    """Its dataset's place on the command line"""
    index: int
    """The episode's number in its dataset"""
    state: dict[str, np.ndarray]
    """{group: (rows, dim) float32}, raw"""
    action: dict[str, np.ndarray]
    """{group: (rows, dim) float32}, raw"""
    tasks: tuple[str, ...]
    """The instruction in force at each row"""
    modality: ModalityConfig
    """What the network reads of its embodiment"""

    def __len__(self) -> int:
        return len(self.tasks)


@dataclass(frozen=True)
class Embodiment:
    """A robot as the network knows it: the tag of its slot, and what is read of it."""

    tag: str
    modality: ModalityConfig


@dataclass(frozen=True)
class DatasetSplit:
    """One dataset of a run, and how its episodes are split."""

    dataset: GrootDataset
    embodiment: Embodiment
    content_hash: str
    train_episodes: tuple[int, ...]
    held_out_episodes: tuple[int, ...]

    @property
    def name(self) -> str:
        """The dataset's folder name."""
        return self.dataset.path.resolve().name

    def record(self) -> TrainingRecord:
        """Return what a checkpoint reports about its training on this dataset."""
        return TrainingRecord(
            self.name, self.content_hash, self.train_episodes, self.held_out_episodes
        )


def open_sources(
    paths: Sequence[Path], embodiments: Sequence[Embodiment], held_out: int | None, seed: int
) -> list[DatasetSplit]:
    """Open the datasets of a run and split their episodes.

    embodiments: of each dataset; held_out: episodes of each to keep for validation; None for a
    tenth of them.
    Raises DatasetError, TrainingError for groups or cameras that a dataset lacks, UsageError.
    """
    if not paths:
        raise UsageError("expected a dataset's folder (--dataset-path)")
    sources = []
    for path, embodiment in zip(paths, embodiments, strict=True):
        dataset = GrootDataset.open(path)
        modality = embodiment.modality
        _check_fits(dataset, modality)
        episodes = [entry.index for entry in dataset.episodes if entry.length > 0]
        _check_instructions(dataset, episodes, language_key(modality))
        train, kept = divide(episodes, held_out, seed)
        sources.append(DatasetSplit(dataset, embodiment, dataset.content_hash(), train, kept))
    rates = {source.dataset.fps for source in sources}
    if len(rates) != 1:
        raise TrainingError(f"the datasets run at {sorted(rates)} Hz, expected one rate for all")
    return sources


def divide(
    episodes: Sequence[int], held_out: int | None, seed: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Split episodes into those trained on and those held out, the same for the same seed.

    Raises UsageError when nothing would be left to train on.
    """
    if held_out is None:
        held_out = round(len(episodes) * DEFAULT_HELD_OUT) or int(len(episodes) > 1)
    if held_out < 0 or held_out >= len(episodes):
        raise UsageError(
            f"--val-episodes {held_out} of {len(episodes)} episodes leaves none to train on; "
            "expected 0 or more, and fewer than there are"
        )
    chosen = np.random.default_rng([seed, len(episodes)]).permutation(len(episodes))[:held_out]
    kept = {episodes[place] for place in chosen}
    return tuple(one for one in episodes if one not in kept), tuple(sorted(kept))


def read_recordings(sources: Sequence[DatasetSplit], *, held_out: bool) -> list[EpisodeRows]:
    """Read the rows of all episodes trained on, or of all held out."""
    recordings = []
    for place, source in enumerate(sources):
        dataset, modality = source.dataset, source.embodiment.modality
        for index in source.held_out_episodes if held_out else source.train_episodes:
            episode = dataset.read_episode(index, language_key(modality))
            state, action = dataset.state_groups, dataset.action_groups
            recordings.append(
                EpisodeRows(
                    dataset=place,
                    index=index,
                    state={key: episode.state[:, state[key]] for key in _state_keys(modality)},
                    action={key: episode.action[:, action[key]] for key in modality.action.keys},
                    tasks=episode.tasks,
                    modality=modality,
                )
            )
    return recordings


def modality_configs(sources: Sequence[DatasetSplit]) -> dict[str, Any]:
    """Return the modality configs of a run's embodiments as JSON values, by tag."""
    found = {source.embodiment.tag: source.embodiment.modality for source in sources}
    return {tag: modality_config_json(modality) for tag, modality in found.items()}


def _state_keys(modality: ModalityConfig) -> list[str]:
    """List the state groups that are read: the network's, and those that actions refer to."""
    references = [modality.action_config(key).state_key or key for key in modality.relative_keys()]
    return list(dict.fromkeys([*modality.state.keys, *references]))


def _check_fits(dataset: GrootDataset, modality: ModalityConfig) -> None:
    wanted = {
        "state group": (_state_keys(modality), dataset.state_groups),
        "action group": (modality.action.keys, dataset.action_groups),
        "camera": (modality.video.keys, dataset.cameras),
    }
    for what, (names, there) in wanted.items():
        for name in names:
            if name not in there:
                raise TrainingError(
                    f"{dataset.path} has no {what} {name!r}, which the modality config reads; it "
                    f"has {', '.join(there)} (--modality-config-path)"
                )
    dataset.instructions.check_key(language_key(modality))


def language_key(modality: ModalityConfig) -> str:
    """Return the key of the instructions. Raises TrainingError unless there is just one."""
    if len(modality.language.keys) != 1:
        raise TrainingError(
            f"the modality config has the language keys {list(modality.language.keys)}, expected "
            "one (--modality-config-path)"
        )
    return modality.language.keys[0]


def _check_instructions(dataset: GrootDataset, episodes: Sequence[int], key: str) -> None:
    """Raise FaultyDataset with every episode whose instructions are missing or empty."""
    faults = []
    for index in episodes:
        try:
            dataset.check_instructions(index, key)
        except DatasetError as error:
            faults.append(fault("instruction", str(error)))
    if faults:
        raise FaultyDataset(f"{dataset.path}: {len(faults)} episodes cannot be trained on", faults)
