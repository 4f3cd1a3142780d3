"""Runs that nobody played: their folders, with whatever names a test wants in them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from handover_client.replay.action_groups import ActionColumns, parts_of
from handover_client.replay.evaluation import Evaluation, evaluate
from handover_client.replay.figures import figures, write_results
from handover_client.replay.replayer import Trajectory
from handover_client.report.page import write_report
from handover_client.results.latency import STAGES, Call
from handover_client.rollout.figures import rollout_figures
from handover_client.rollout.folder import RolloutFolder
from handover_client.rollout.record import EpisodeRecord
from handover_common import write_json
from handover_proto.embodiment import GR1_DIMS, widen
from handover_proto.types import StageDurations

VIDEO = b"not a film, but as long as one " * 100


def provenance(name: str) -> dict[str, Any]:
    server = {
        "address": "robot:50051",
        "version": "0.1.0",
        "policy": "groot",
        "checkpoint": name,
        "checkpoint_hash": "c0ffee" * 4,
        "processor_hash": "beef" * 6,
        "device": "cpu",
        "dtype": "float32",
        "denoising_steps": 4,
    }
    return {
        "command": f"handover replay --output '{name}'",
        "finished": "2026-11-24T00:00:00+00:00",
        "versions": {"python": "3.11.7", name: "1.0"},
        "dataset": {"name": name, "hash": "da7a" * 16},
        "server": server,
    }


def make_replay(folder: Path, name: str = "mini", episodes: int = 2, error: float = 0.05) -> None:
    """Write the folder of an open-loop run over random joints; figures carry `name`."""
    evaluation = make_evaluation(name, episodes, error)
    training = dict.fromkeys(range(episodes), "held out")
    folder.mkdir(parents=True)
    everything = {
        "kind": "replay",
        "steps": 200,
        "action_horizon": 16,
        "seed": 0,
        "image_codec": "RAW_RGB8",
        "episodes": list(range(episodes)),
        "rate_hz": 20.0,
        "training": f"{name}: held out.",
        **figures(evaluation, training, 16),
        "provenance": provenance(name),
    }
    write_results(folder, evaluation, everything)
    write_report(folder, everything)


def replay_of(dataset: Any, first_step: int = 0) -> Any:
    """What a report asks of a replay: its dataset, and the step that a chunk begins with."""
    spec = SimpleNamespace(first_step=first_step)
    return SimpleNamespace(dataset=dataset, client=SimpleNamespace(info=SimpleNamespace(spec=spec)))


def make_evaluation(name: str = "mini", episodes: int = 2, error: float = 0.05) -> Evaluation:
    """Score random joints, predicted with `error` rad of noise; `name` is the instruction."""
    random = np.random.default_rng(0)
    units = {name: "0 closed … 1 open" if "hand" in name else "rad" for name in GR1_DIMS}
    layout = ActionColumns(GR1_DIMS, units)
    calls = (Call(9.0, StageDurations(0.1, 0.2, 1.0, 2.0, 5.0, 0.1)),) * 3
    trajectories = []
    for episode in range(episodes):
        joints = np.cumsum(random.normal(0, 0.02, (40, 14)), axis=0)
        noise = random.normal(0, error, joints.shape)
        trajectories.append(
            Trajectory(
                episode,
                name,
                widen(joints),
                widen(joints + noise),
                {},
                (0, 16, 32),
                (1, 2, 3),
                calls,
            )
        )
    demonstrated = np.concatenate([each.demonstrated for each in trajectories])
    return evaluate(trajectories, parts_of(layout, demonstrated))


def make_rollout(
    folder: Path,
    name: str = "mini",
    successes: tuple[bool, ...] = (True, False, True),
    change: str = "",
) -> None:
    """Write the folder of a closed-loop run, with a video of each episode."""
    plan = {
        "task": "transfer_cube",
        "execute_steps": 8,
        "horizon": 16,
        "chunk_rate_hz": 20.0,
        "interpolation": "linear",
        "max_steps": 400,
        "realtime": False,
        "latency_ms": 0.0,
        "jitter_ms": 0.0,
        "change": change,
        "image_size": 256,
        "image_codec": "raw",
        "videos": "all",
        "video_rate_hz": 10,
        "seeds": {str(episode): 1000 + episode for episode in range(len(successes))},
    }
    with RolloutFolder(folder, plan) as run:
        for episode, success in enumerate(successes):
            run.keep(_record(episode, success, name), VIDEO)
        everything = {
            "kind": "rollout",
            **rollout_figures(run.records(), 50.0),
            "settings": plan,
            "instruction": name,
            "objects": [name],
            "control_rate_hz": 50.0,
            "provenance": provenance(name),
        }
        write_json(run.path / "metrics.json", everything)
        write_report(run.path, everything)
        run.publish()


def _record(episode: int, success: bool, error: str) -> EpisodeRecord:
    return EpisodeRecord(
        episode=episode,
        seed=1000 + episode,
        ended="done" if success else "simulation_failed",
        success=success,
        strict_success=success,
        max_reward=4 if success else 2,
        steps=200,
        first_steps={1: 50, 2: 60, 3: 100, 4: 190} if success else {1: 50, 2: 60},
        start_poses=[[0.01 * episode, 0.5, 0.05, 1.0, 0.0, 0.0, 0.0]],
        jerk_rms=12.5,
        latency_ms=[30.0, 40.0],
        stage_ms={stage: [1.0, 2.0] for stage in STAGES},
        error="" if success else error,
        video=f"videos/episode_{episode:06d}.mp4",
    )
