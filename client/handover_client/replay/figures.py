"""Figures of an open-loop evaluation: metrics.json, trajectories.jsonl and actions.npz.

The terminal's tables and the report show these figures and no others.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from handover_common import write_json, write_json_lines

from handover_client.replay.error_metrics import DEFINITIONS, pool, threshold_key
from handover_client.replay.evaluation import (
    METHODS,
    POLICY,
    Evaluation,
    difficulty_groups,
    error_in_chunk,
    error_over_time,
)
from handover_client.results.latency import latency_figures
from handover_client.results.statistics import bootstrap_95

HEADLINE_THRESHOLD = threshold_key(0.10)


def figures(
    evaluation: Evaluation, training: Mapping[int, str], action_horizon: int
) -> dict[str, Any]:
    """The evaluation as metrics.json holds it, without the run's own settings.

    training: {episode: what the checkpoint's training did with it}
    """
    calls = [call for each in evaluation.trajectories for call in each.calls]
    return {
        "definitions": DEFINITIONS,
        "headline": evaluation.headline.key,
        "parts": {
            part.key: {
                "title": part.title,
                "values": list(part.names),
                "units": list(part.units),  # as the server states them
                "columns": list(part.columns),  # of actions.npz
            }
            for part in evaluation.parts
        },
        **{part.key: _part_figures(evaluation, part.key) for part in evaluation.parts},
        "baselines": {method: _baseline_figures(evaluation, method) for method in METHODS[1:]},
        "per_trajectory": [
            trajectory_figures(evaluation, place, training)
            for place in range(len(evaluation.trajectories))
        ],
        "groups": {
            name: _group_figures(evaluation, places)
            for name, places in difficulty_groups(evaluation).items()
        },
        "error_over_time": error_over_time(evaluation),
        "error_in_chunk": error_in_chunk(evaluation, action_horizon),
        "latency_ms": latency_figures(calls),
    }


def write_results(folder: Path, evaluation: Evaluation, figures: Mapping[str, Any]) -> None:
    """Write a run's results into its folder; `figures` are all of metrics.json."""
    write_json(folder / "metrics.json", figures)
    write_json_lines(folder / "trajectories.jsonl", figures["per_trajectory"])
    arrays = {}
    for each in evaluation.trajectories:
        arrays[f"predicted_{each.episode}"] = each.predicted
        arrays[f"demonstrated_{each.episode}"] = each.demonstrated
    np.savez_compressed(folder / "actions.npz", **arrays)


def trajectory_figures(
    evaluation: Evaluation, place: int, training: Mapping[int, str]
) -> dict[str, Any]:
    """One trajectory's line of trajectories.jsonl."""
    each, scores = evaluation.trajectories[place], evaluation.scores[place]
    return {
        "episode": each.episode,
        "task": each.task,
        "steps": len(each.demonstrated),
        "in_training": training[each.episode],
        "inference_steps": list(each.inference_steps),
        "seeds": list(each.seeds),
        **{key: dataclasses.asdict(item) for key, item in scores[POLICY].items()},
        "baselines": {
            method: {key: dataclasses.asdict(item) for key, item in scores[method].items()}
            for method in METHODS[1:]
            if method in scores
        },
        "latency_ms": latency_figures(each.calls),
    }


def _part_figures(evaluation: Evaluation, part: str) -> dict[str, Any]:
    scores = evaluation.of(POLICY, part)
    steps = [item.steps for item in scores]
    success = [item.success_at[HEADLINE_THRESHOLD] for item in scores]
    return {
        **dataclasses.asdict(pool(scores)),
        "interval_95": {
            "mse": bootstrap_95([item.mse for item in scores], steps),
            "mae": bootstrap_95([item.mae for item in scores], steps),
            f"success_at_{HEADLINE_THRESHOLD}": bootstrap_95(success, steps),
        },
    }


def _baseline_figures(evaluation: Evaluation, method: str) -> dict[str, Any] | None:
    pooled = {part.key: evaluation.pooled(method, part.key) for part in evaluation.parts}
    if any(item is None for item in pooled.values()):
        return None
    return {key: dataclasses.asdict(item) for key, item in pooled.items() if item is not None}


def _group_figures(evaluation: Evaluation, places: Sequence[int]) -> dict[str, Any]:
    scores = evaluation.of(POLICY, evaluation.headline.key)
    return {
        "episodes": [evaluation.trajectories[place].episode for place in places],
        **dataclasses.asdict(pool([scores[place] for place in places])),
    }
