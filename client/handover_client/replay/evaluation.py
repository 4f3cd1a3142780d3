"""Scores of replayed trajectories: of policy and baselines, per group of values, over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from handover_client.replay.action_groups import ActionGroup
from handover_client.replay.baselines import HOLD, MEAN_TRAJECTORY
from handover_client.replay.error_metrics import Score, pool, score, step_mse
from handover_client.replay.replayer import Trajectory

POLICY = "policy"
METHODS = (POLICY, HOLD, MEAN_TRAJECTORY)  # of prediction, in the tables' order
GROUP_NAMES = ("easiest", "average", "hardest")


@dataclass(frozen=True)
class Evaluation:
    """Every trajectory's scores: one per prediction method and per group of its values."""

    parts: tuple[ActionGroup, ...]
    trajectories: tuple[Trajectory, ...]
    scores: tuple[Mapping[str, Mapping[str, Score]], ...]  # per trajectory: {method: {part: score}}

    @property
    def headline(self) -> ActionGroup:
        """The group of values that difficulty groups, bars and charts are about."""
        return self.parts[0]

    def of(self, method: str, part: str) -> list[Score]:
        """List the trajectories' scores of one prediction method, where it exists."""
        return [scores[method][part] for scores in self.scores if method in scores]

    def pooled(self, method: str, part: str) -> Score | None:
        """Pool one method's scores; None where some trajectory lacks it."""
        scores = self.of(method, part)
        return pool(scores) if len(scores) == len(self.trajectories) else None


def evaluate(trajectories: Sequence[Trajectory], parts: tuple[ActionGroup, ...]) -> Evaluation:
    """Score every trajectory by every method, for every group of values."""
    return Evaluation(
        parts, tuple(trajectories), tuple(_score_methods(each, parts) for each in trajectories)
    )


def predictions(trajectory: Trajectory) -> dict[str, np.ndarray]:
    """The predictions of a trajectory: {method: (T, D)}."""
    methods = {POLICY: trajectory.predicted, **trajectory.baselines}
    return {method: methods[method] for method in METHODS if method in methods}


def _score_methods(
    trajectory: Trajectory, parts: Sequence[ActionGroup]
) -> dict[str, dict[str, Score]]:
    return {
        method: {
            part.key: score(predicted[:, part.columns], trajectory.demonstrated[:, part.columns])
            for part in parts
        }
        for method, predicted in predictions(trajectory).items()
    }


def difficulty_groups(evaluation: Evaluation) -> dict[str, list[int]]:
    """Split the trajectories by their MSE into three groups of nearly equal size.

    Returns {group: places in evaluation.trajectories}; nothing for fewer than three.
    """
    scores = evaluation.of(POLICY, evaluation.headline.key)
    if len(scores) < len(GROUP_NAMES):
        return {}
    order = np.argsort([item.mse for item in scores], kind="stable")
    return {
        name: [int(place) for place in places]
        for name, places in zip(GROUP_NAMES, np.array_split(order, len(GROUP_NAMES)), strict=True)
    }


def error_over_time(evaluation: Evaluation) -> dict[str, list[float]]:
    """Average the per-step MSE over the trajectories that have the step: {method: one per step}."""
    columns = evaluation.headline.columns
    longest = max(len(each.demonstrated) for each in evaluation.trajectories)
    curves = {}
    for method in METHODS:
        if evaluation.pooled(method, evaluation.headline.key) is None:
            continue
        sums, counts = np.zeros(longest), np.zeros(longest)
        for each in evaluation.trajectories:
            errors = step_mse(predictions(each)[method][:, columns], each.demonstrated[:, columns])
            sums[: len(errors)] += errors
            counts[: len(errors)] += 1
        curves[method] = (sums / counts).tolist()
    return curves


def error_in_chunk(evaluation: Evaluation, action_horizon: int) -> list[float]:
    """Average the policy's per-step MSE by the step's place in its chunk: one per place."""
    columns = evaluation.headline.columns
    sums, counts = np.zeros(action_horizon), np.zeros(action_horizon)
    for each in evaluation.trajectories:
        errors = step_mse(each.predicted[:, columns], each.demonstrated[:, columns])
        places = np.arange(len(errors)) % action_horizon
        np.add.at(sums, places, errors)
        np.add.at(counts, places, 1)
    return [float(total / count) for total, count in zip(sums, counts, strict=True) if count]
