"""How often the scripted experts succeed, and what playing them at 20 Hz costs.

    python -m benchmarks.evaluation.experts [--seeds 100]

Every seed's plan is played three ways: its 50 Hz targets as they are; its 20 Hz targets, as
conversion makes them, played at 50 Hz linearly in the arms and held in the grippers; and the 20 Hz
targets held. Success: the last of 400 steps is at reward 4. Strict success: the task is then done
for good as well (the left hand alone holds the cube; both parts are held off the table).
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from handover_envs.experts import Expert, Trajectory
from handover_envs.simulator import AlohaSimulator, simulator_versions
from handover_envs.tasks import (
    CONTROL_RATE_HZ,
    DEMONSTRATION_STEPS,
    SUCCESS_REWARD,
    TASKS,
    TaskName,
)
from handover_proto import GRIPPER_JOINTS, POLICY_RATE_HZ

from benchmarks.harness.machine import describe_run

RESULT = Path(__file__).resolve().parents[1] / "results" / "experts.json"


def at_20_hz(plan: Trajectory) -> np.ndarray:
    """Take a plan's targets as a dataset at 20 Hz has them: (160, 14)."""
    rows = int((DEMONSTRATION_STEPS - 1) * POLICY_RATE_HZ / CONTROL_RATE_HZ) + 1
    return plan.at(np.arange(rows) / POLICY_RATE_HZ)


def play_back(rows: np.ndarray, interpolate: bool) -> np.ndarray:
    """Turn 20 Hz targets into 50 Hz ones: (160, 14) -> (400, 14)."""
    places = np.round(np.arange(DEMONSTRATION_STEPS) * POLICY_RATE_HZ / CONTROL_RATE_HZ, 9)
    before = np.minimum(np.floor(places).astype(int), len(rows) - 1)
    held = rows[before]
    if not interpolate:
        return held
    after = np.minimum(before + 1, len(rows) - 1)
    share = (places - before)[:, None]
    targets = ((1 - share) * held + share * rows[after]).astype(np.float32)
    targets[:, GRIPPER_JOINTS] = held[:, GRIPPER_JOINTS]
    return targets


def play(simulator: AlohaSimulator, seed: int, targets: np.ndarray) -> dict:
    """Play one episode through."""
    simulator.reset(seed)
    rewards = np.array([simulator.step(target) for target in targets])
    succeeded = rewards == SUCCESS_REWARD
    return {
        "success": bool(succeeded[-1]),
        "strict": bool(succeeded[-1]) and simulator.is_held,
        "first_success_step": int(np.argmax(succeeded)) if succeeded.any() else None,
    }


def summarise(episodes: list[dict], first_seed: int) -> dict:
    """Count successes and name the seeds that failed."""
    first = [e["first_success_step"] for e in episodes if e["first_success_step"] is not None]
    return {
        "successes": sum(episode["success"] for episode in episodes),
        "strict_successes": sum(episode["strict"] for episode in episodes),
        "failed_seeds": [first_seed + i for i, e in enumerate(episodes) if not e["success"]],
        "first_success_step": {
            "median": float(np.median(first)),
            "latest": max(first),
        },
    }


def measure(task: TaskName, first_seed: int, seeds: int) -> dict:
    """Play all seeds of one task in all three ways."""
    started = time.perf_counter()
    expert = Expert(task)
    episodes: dict[str, list[dict]] = {"50_hz": [], "20_hz_linear": [], "20_hz_held": []}
    planning_s = 0.0
    with AlohaSimulator(task) as simulator:
        for seed in range(first_seed, first_seed + seeds):
            planned = time.perf_counter()
            plan = expert.plan(seed)
            planning_s += time.perf_counter() - planned
            rows = at_20_hz(plan)
            ways = (plan.targets, play_back(rows, True), play_back(rows, False))
            for way, targets in zip(episodes, ways, strict=True):
                episodes[way].append(play(simulator, seed, targets))
    return {
        "seeds": seeds,
        **{way: summarise(played, first_seed) for way, played in episodes.items()},
        "planning_s_per_episode": planning_s / seeds,
        "seconds": time.perf_counter() - started,
    }


def main(first_seed: int, seeds: int) -> None:
    """Measure both tasks and write the results."""
    result = {
        "first_seed": first_seed,
        "tasks": {task.name: measure(task.name, first_seed, seeds) for task in TASKS.values()},
        "versions": simulator_versions(),
        "run": describe_run(),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Count the experts' successes.")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--seeds", type=int, default=100)
    arguments = parser.parse_args()
    main(arguments.seed, arguments.seeds)
