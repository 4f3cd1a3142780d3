"""Compatibility of a dataset, a served policy and a run; one clear line where they do not fit."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from handover_common import UsageError
from handover_proto import PolicySpec

from handover_client.errors import EvaluationError
from handover_client.replay.action_groups import ActionColumns

if TYPE_CHECKING:
    from handover_conversion.groot import EpisodeEntry, GrootDataset

_RATE_TOLERANCE = 0.01  # 1 %: 29.97 and 30 frames per second are the same to a policy


def check_fit(dataset: "GrootDataset", spec: PolicySpec) -> ActionColumns:
    """Return the columns to compare, in the policy's order.

    Raises EvaluationError naming the cameras and groups that the dataset lacks, or the rate.
    """
    lacks = [
        *_missing("camera", (cam.name for cam in spec.cameras), dataset.cameras),
        *_missing("state group", (group.name for group in spec.state), dataset.state_groups),
        *_missing("action group", (group.name for group in spec.action), dataset.action_groups),
    ]
    if lacks:
        raise EvaluationError(
            f"the dataset {dataset.path.name} lacks what the policy "
            f"{spec.checkpoint_name or spec.policy} needs: {'; '.join(lacks)}; replay a dataset "
            "converted for this checkpoint's embodiment"
        )
    if spec.language_key:
        dataset.instructions.check_key(spec.language_key)
    _check_steps(spec)
    _check_dims("state", {group.name: group.dim for group in spec.state}, dataset.state_groups)
    dims = {group.name: group.dim for group in spec.action}
    _check_dims("action", dims, dataset.action_groups)
    if spec.rate_hz and abs(dataset.fps / spec.rate_hz - 1) > _RATE_TOLERANCE:
        raise EvaluationError(
            f"the dataset has {dataset.fps:g} steps per second, the policy {spec.rate_hz:g}: "
            f"convert the recordings with --fps {spec.rate_hz:g}"
        )
    return ActionColumns(dims, {group.name: group.unit for group in spec.action})


def choose_episodes(dataset: "GrootDataset", traj_ids: Sequence[int]) -> "list[EpisodeEntry]":
    """Find the episodes to replay, in the order asked for; all of them for none named.

    Raises UsageError for an id that the dataset does not have, or one named twice.
    """
    known = {entry.index: entry for entry in dataset.episodes}
    unknown = sorted({index for index in traj_ids if index not in known})
    if unknown:
        raise UsageError(
            f"--traj-ids: the dataset {dataset.path.name} has no episode "
            f"{', '.join(map(str, unknown))}; it has {_ranges(known)}"
        )
    if len(set(traj_ids)) != len(traj_ids):
        raise UsageError("--traj-ids: an episode is named twice")
    chosen = [known[index] for index in traj_ids] or list(known.values())
    if not chosen:
        raise EvaluationError(f"the dataset {dataset.path.name} has no episodes")
    return chosen


def check_episodes(
    dataset: "GrootDataset", entries: "Sequence[EpisodeEntry]", spec: PolicySpec
) -> None:
    """Raise EvaluationError for episodes without a step to predict, or without an instruction."""
    short = [entry.index for entry in entries if entry.length <= spec.first_step]
    if short:
        raise EvaluationError(
            f"episode {short[0]} of {dataset.path.name} has no steps"
            + (f" that follow a chunk's first {spec.first_step}" if spec.first_step else "")
        )
    for entry in entries:
        dataset.check_instructions(entry.index, spec.language_key or None)


def check_horizon(action_horizon: int, spec: PolicySpec) -> None:
    """Raise UsageError unless the policy's chunk has the steps that are to be used of it."""
    if not 1 <= action_horizon <= spec.horizon:
        raise UsageError(
            f"--action-horizon {action_horizon}: expected 1 to {spec.horizon}, "
            "the steps of this policy's chunk"
        )


def _check_steps(spec: PolicySpec) -> None:
    """Check that the server reports which steps an observation is made of, all of them past."""
    vague = [
        part.name
        for part in (*spec.cameras, *spec.state)
        if len(part.delta_indices or (0,)) != part.steps or max(part.delta_indices or (0,)) > 0
    ]
    if vague:
        raise EvaluationError(
            f"the policy wants several steps of {', '.join(vague)} in an observation, and its "
            "server does not report which past ones: serve it with this version of handover"
        )


def _missing(kind: str, wanted: Iterable[str], known: Iterable[str]) -> list[str]:
    known = list(known)
    missing = [name for name in wanted if name not in known]
    if not missing:
        return []
    return [f"{kind} {', '.join(missing)} (it has {', '.join(known) or 'none'})"]


def _check_dims(kind: str, wanted: Mapping[str, int], known: Mapping[str, slice]) -> None:
    for name, dim in wanted.items():
        width = known[name].stop - known[name].start
        if width != dim:
            raise EvaluationError(
                f"the {kind} group {name!r} has {width} values in the dataset and {dim} in the "
                "policy: they are made for different robots"
            )


def _ranges(known: Iterable[int]) -> str:
    """Abbreviate numbers: 0-4, 7."""
    runs: list[list[int]] = []
    for number in sorted(known):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
