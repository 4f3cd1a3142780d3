"""How much faster an episode is when only what the policy sees is drawn.

    python -m benchmarks.evaluation.simulation [--task transfer_cube] [--seed 0] [--steps 400]

The same scripted 20 Hz policy plays one episode (400 steps, 8 s; with --steps, its beginning) in
gym-aloha's own environment, which draws three cameras at every step, and in ours, which draws one
when the policy replans. Both get the same targets; their states and rewards must be equal. The
policy itself costs next to nothing, so the ratio is the simulation's.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from handover_envs.experts import Expert
from handover_envs.simulator import LOOKS, AlohaSimulator, simulator_versions
from handover_envs.tasks import CONTROL_RATE_HZ, DEMONSTRATION_STEPS, TASKS, TaskName
from handover_proto import POLICY_RATE_HZ

from benchmarks.harness.machine import describe_run

RESULT = Path(__file__).resolve().parents[1] / "results" / "simulation.json"
IMAGE_SIZE = 256
REPLANNED_AFTER = (8, 16)  # policy steps


class Clocks:
    """Wall and processor time from now on; the second is fair on a busy machine too."""

    def __init__(self) -> None:
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Give the seconds since the start, over all threads of this process."""
        return {
            "seconds": time.perf_counter() - self._wall_s,
            "cpu_seconds": time.process_time() - self._cpu_s,
        }


def play_ours(task: TaskName, seed: int, targets: np.ndarray, replan_steps: int) -> dict:
    """Play an episode, drawing and cropping one image at each replanning."""
    every = round(replan_steps * CONTROL_RATE_HZ / POLICY_RATE_HZ)
    simulator = AlohaSimulator(task)
    simulator.reset(seed)
    simulator.render(IMAGE_SIZE)  # the drawing context is made once per process, not per episode
    clocks = Clocks()
    states, rewards, frames = [simulator.reset(seed)], [], 0
    for step, target in enumerate(targets):
        if step % every == 0:
            simulator.render(IMAGE_SIZE)
            frames += 1
        rewards.append(simulator.step(target))
        states.append(simulator.state)
    times = clocks.read()
    simulator.close()
    return {**times, "frames": frames, "rewards": rewards, "states": states}


def play_stock(task: TaskName, seed: int, targets: np.ndarray) -> dict:
    """Play the same episode in gym-aloha's environment."""
    from gym_aloha.env import AlohaEnv  # after AlohaSimulator has chosen how to draw

    environment = AlohaEnv(task, obs_type="pixels_agent_pos")
    environment.reset(seed=seed)
    clocks = Clocks()
    observation, _ = environment.reset(seed=seed)
    states, rewards = [observation["agent_pos"]], []
    for target in targets:
        observation, reward, *_ = environment.step(target)
        states.append(observation["agent_pos"])
        rewards.append(reward)
    return {
        **clocks.read(),
        "frames": 3 * (len(targets) + 1),
        "rewards": rewards,
        "states": states,
    }


def median_ms(action: Callable[[], object], repeats: int) -> float:
    """Time an action: the median, in ms."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return 1e3 * float(np.median(times))


def measure_parts(task: TaskName, seed: int, targets: np.ndarray) -> dict[str, float]:
    """Time the simulator's operations by themselves, in ms."""
    parts = {}
    for look in LOOKS:
        with AlohaSimulator(task, look) as simulator:
            simulator.reset(seed)
            simulator.render()
            parts[f"render_{look}_ms"] = median_ms(simulator.render, 7)
            parts[f"render_{look}_{IMAGE_SIZE}_ms"] = median_ms(
                lambda simulator=simulator: simulator.render(IMAGE_SIZE), 7
            )
    with AlohaSimulator(task) as simulator:
        parts["reset_ms"] = median_ms(lambda: simulator.reset(seed), 5)
        queue = iter(targets)
        parts["step_ms"] = median_ms(lambda: simulator.step(next(queue)), len(targets))
    return parts


def main(task: TaskName, seed: int, steps: int) -> None:
    """Measure, check that both played the same episode, and write the results."""
    times_s = np.arange(steps) / CONTROL_RATE_HZ
    targets = Expert(task).plan(seed).at(times_s)
    ours = {after: play_ours(task, seed, targets, after) for after in REPLANNED_AFTER}
    parts = measure_parts(task, seed, targets)
    stock = play_stock(task, seed, targets)
    for episode in ours.values():
        np.testing.assert_array_equal(episode["states"], stock["states"])
        np.testing.assert_array_equal(episode["rewards"], stock["rewards"])
    result = {
        "task": task,
        "seed": seed,
        "steps": len(targets),
        "last_reward": int(stock["rewards"][-1]),
        "states_and_rewards": "equal, bit for bit, in all runs",
        "gym_aloha": {key: stock[key] for key in ("seconds", "cpu_seconds", "frames")},
        "ours": {
            f"replanned_after_{after}_policy_steps": {
                **{key: episode[key] for key in ("seconds", "cpu_seconds", "frames")},
                "times_faster": stock["seconds"] / episode["seconds"],
                "times_faster_in_cpu_time": stock["cpu_seconds"] / episode["cpu_seconds"],
            }
            for after, episode in ours.items()
        },
        "parts": parts,
        "versions": simulator_versions(),
        "run": describe_run(),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Time an episode against gym-aloha's own.")
    parser.add_argument("--task", choices=list(TASKS), default="transfer_cube")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=DEMONSTRATION_STEPS)
    arguments = parser.parse_args()
    main(arguments.task, arguments.seed, arguments.steps)
