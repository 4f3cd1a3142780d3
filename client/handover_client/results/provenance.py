"""Provenance of a run's figures: versions, hashes, the command, and the training episodes."""

import platform
import shlex
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

from handover_common import package_version
from handover_proto import ServerInfo, TrainingRecord

_PACKAGES = (
    *("handover", "numpy", "grpcio", "protobuf", "pillow", "av", "pyarrow"),
    *("mujoco", "dm-control", "gym-aloha"),
)

IN_TRAINING = "training"
HELD_OUT = "held out"
UNUSED = "not used"  # of the same dataset, but in neither list
UNKNOWN = "unknown"


def membership(
    records: Iterable[TrainingRecord], dataset_hash: str, episodes: Sequence[int]
) -> dict[int, str]:
    """What the checkpoint's training did with each episode: {episode: one of the words above}.

    A record counts only when its dataset has the very same content; without one it is unknown,
    because the same recordings converted in another way could have been trained on.
    """
    same = [record for record in records if dataset_hash and record.dataset_hash == dataset_hash]
    if not same:
        return dict.fromkeys(episodes, UNKNOWN)
    trained = {episode for record in same for episode in record.train_episodes}
    held_out = {episode for record in same for episode in record.held_out_episodes}
    return {
        episode: IN_TRAINING if episode in trained else HELD_OUT if episode in held_out else UNUSED
        for episode in episodes
    }


def describe_training(places: Iterable[str]) -> str:
    """Write in one sentence whether the evaluated episodes were trained on."""
    places = list(places)
    counts = {place: places.count(place) for place in (IN_TRAINING, HELD_OUT, UNUSED)}
    if UNKNOWN in places:
        return "The checkpoint does not tell whether these episodes were in its training set."
    words_of = [
        (IN_TRAINING, "in the checkpoint's training set"),
        (HELD_OUT, "held out from training"),
        (UNUSED, "of the training dataset, but not used in training"),
    ]
    parts = [f"{counts[place]} {words}" for place, words in words_of if counts[place]]
    return f"Of {len(places)} evaluated episodes: {'; '.join(parts)}."


def versions() -> dict[str, str]:
    """List the versions of Python and of the packages that the figures went through."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        version = package_version(package)
        if version is not None:
            found[package] = version
    return found


def provenance(
    info: ServerInfo, address: str, dataset_name: str, dataset_hash: str
) -> dict[str, Any]:
    """Everything needed to repeat a replay, as JSON."""
    return {
        **_run(),
        "dataset": {"name": dataset_name, "hash": dataset_hash},
        "server": _server(info, address),
    }


def rollout_provenance(info: ServerInfo | None, address: str) -> dict[str, Any]:
    """Everything needed to repeat a rollout, as JSON; `server` is None for a script."""
    return {**_run(), "server": _server(info, address) if info else None}


def _run() -> dict[str, Any]:
    return {
        "command": shlex.join(["handover", *sys.argv[0].split()[1:], *sys.argv[1:]]),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(),
    }


def _server(info: ServerInfo, address: str) -> dict[str, Any]:
    spec = info.spec
    return {
        "address": address,
        "version": info.server_version,
        "policy": spec.policy,
        "checkpoint": spec.checkpoint_name,
        "checkpoint_hash": spec.checkpoint_hash,
        "processor_hash": spec.processor_hash,
        "embodiment": spec.embodiment_tag,
        "device": spec.device,
        "dtype": spec.dtype,
        "denoising_steps": spec.denoising_steps,
        "horizon": spec.horizon,
        "rate_hz": spec.rate_hz,
        "takes_seeds": spec.supports_seed,  # without, a second run draws other noise
    }
