"""Figures of a rollout, as metrics.json holds them; terminal and report show no others."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from handover_envs.tasks import SUCCESS_REWARD, find_task, task_names
from handover_proto import StageDurations

from handover_client.results.latency import Call, latency_figures, percentiles
from handover_client.results.sequential import mean_sequence
from handover_client.results.statistics import wilson_95
from handover_client.rollout.record import EpisodeRecord

DEFINITIONS = {
    "success": "reward 4 in at least one control step, as gym-aloha counts",
    "strict_success": "the object held for good for 10 control steps in a row: the cube off the "
    "table in the left hand alone; the peg in the socket, each hand holding its part off the table",
    "wilson_95": "Wilson's 95 % interval of a share of episodes",
    "anytime_95": "95 % interval of the success rate after each episode in turn, right however "
    "often one looks and whenever one stops (a betting confidence sequence, arXiv:2010.09686)",
    "funnel": "episodes that reached a reward at least once",
    "time_to_success_s": "simulated seconds until reward 4, over the successful episodes",
    "jerk_rms": "root mean square third derivative of the arms' joint targets as played, rad/s³",
    "border_jerk_rms": "the same over the windows of four control steps that hold targets of both "
    "sides of a border, where one chunk took over from another, rad/s³",
    "border_acceleration": "of a border: the larger Euclidean norm, over the arms' joints, of the "
    "two second differences of the targets that hold targets of both sides, times the control rate "
    "squared; of an episode: the mean over its borders, rad/s²",
    "within_jerk_rms": "the same over the other windows from the first chunk on, rad/s³",
    "within_acceleration": "as border_acceleration, of all control steps from the first "
    "chunk on that are away from borders: the mean of the larger of the two second differences "
    "around each, rad/s²",
    "latency_ms": "from the observation at hand to the chunk at hand; added latency is part of it, "
    "simulated latency is not",
    "delay_steps": "of the chunks that continue the last one: the policy's steps that they were "
    "expected to take, those they took, and how often too few or too many were expected",
    "prefix_methods": "chunks that continue the last one: guided, or as the policy has learnt",
    "dropped_steps": "chunk steps that had passed when their chunk came",
    "dry_steps": "control steps for which the last target was held, the chunk being over",
    "late_steps": "control steps that began more than a period late (real time)",
    "played_again": "plays that lost their server, of which nothing counts: their episodes were "
    "played again from their seed",
}

_MOTION = (
    *("jerk_rms", "border_jerk_rms", "border_acceleration"),
    *("within_jerk_rms", "within_acceleration"),
)


def rollout_figures(
    records: Sequence[EpisodeRecord], control_rate_hz: float, lost: Sequence[EpisodeRecord] = ()
) -> dict[str, Any]:
    """Summarize one or more episodes; lost: plays that lost their server, only named."""
    return {
        "definitions": DEFINITIONS,
        "episodes": len(records),
        **_share([record.success for record in records]),
        "anytime_95": [
            [round(each.low, 5), round(each.high, 5)]
            for each in mean_sequence(float(record.success) for record in records)
        ],
        "strict": _share([record.strict_success for record in records]),
        "funnel": {
            str(reward): _share([record.max_reward >= reward for record in records])
            for reward in range(1, SUCCESS_REWARD + 1)
        },
        "time_to_success_s": spread(
            [
                record.first_steps[SUCCESS_REWARD] / control_rate_hz
                for record in records
                if record.success
            ]
        ),
        **{
            name: spread(
                [value for record in records if (value := getattr(record, name)) is not None]
            )
            for name in _MOTION
        },
        "latency_ms": _latency(records),
        "endings": dict(Counter(record.ended for record in records)),
        "outages": _outages(records),
        "played_again": [
            {"episode": play.episode, "seed": play.seed, "error": play.error} for play in lost
        ],
        "delay_steps": _delays(records),
        "prefix_methods": dict(sum((Counter(each.prefix_methods) for each in records), Counter())),
        **{
            name: sum(getattr(record, name) for record in records)
            for name in ("dropped_steps", "dry_steps", "late_steps")
        },
        "wall_s": round(sum(record.wall_s for record in records), 1),
        "cpu_s": round(sum(record.cpu_s for record in records), 1),
        "per_episode": [_episode(record, control_rate_hz) for record in records],
    }


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """p50, p95, p99, mean and max; None without values."""
    return percentiles(values) if values else None


def reward_meanings(task: str) -> tuple[str, ...]:
    """What each reward 1 … 4 of a task stands for; empty words for a task that is not known."""
    return find_task(task).rewards if task in task_names() else ("",) * SUCCESS_REWARD


def _share(outcomes: Sequence[bool]) -> dict[str, Any]:
    successes = sum(outcomes)
    return {
        "successes": successes,
        "success_rate": successes / len(outcomes),
        "wilson_95": list(wilson_95(successes, len(outcomes))),
    }


def _latency(records: Sequence[EpisodeRecord]) -> dict[str, Any] | None:
    calls = [
        Call(client_ms, StageDurations(**{f"{stage}_ms": ms[k] for stage, ms in stages.items()}))
        for record in records
        for stages in (record.stage_ms,)
        for k, client_ms in enumerate(record.latency_ms)
    ]
    return latency_figures(calls) if calls else None


def _delays(records: Sequence[EpisodeRecord]) -> dict[str, Any] | None:
    pairs = [pair for record in records for pair in record.delays]
    if not pairs:
        return None
    return {
        "expected": spread([expected for expected, _ in pairs]),
        "came": spread([came for _, came in pairs]),
        "too_short": sum(expected < came for expected, came in pairs) / len(pairs),
        "too_long": sum(expected > came for expected, came in pairs) / len(pairs),
    }


def _outages(records: Sequence[EpisodeRecord]) -> dict[str, Any]:
    outages = [outage for record in records for outage in record.outages]
    return {
        "count": len(outages),
        "recovered": sum(outage.recovered for outage in outages),
        "longest_s": max((outage.lasted_s for outage in outages), default=0.0),
        "episodes": [record.episode for record in records if record.outages],
    }


def _episode(record: EpisodeRecord, control_rate_hz: float) -> dict[str, Any]:
    reached = record.first_steps.get(SUCCESS_REWARD)
    return {
        "episode": record.episode,
        "seed": record.seed,
        "success": record.success,
        "strict_success": record.strict_success,
        "max_reward": record.max_reward,
        "time_to_success_s": None if reached is None else reached / control_rate_hz,
        "steps": record.steps,
        "ended": record.ended,
        "outages": len(record.outages),
        **{name: getattr(record, name) for name in _MOTION},
        "start_poses": record.start_poses,
        "video": record.video,
        "error": record.error,
    }
