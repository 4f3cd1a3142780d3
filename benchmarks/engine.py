"""The engine beside the reference path on one CPU: the same requests in turn, in one run.

    taskset -c 1 python benchmarks/engine.py

Measured are the shipped checkpoint and, with --new-size, a network of the sizes that training now
draws, with random weights. Wall time tells what a robot waits on this machine as it was; the
thread's own CPU time is what remains comparable when other processes were at work.
"""

import dataclasses
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from handover_model.checkpoint import Checkpoint, load_checkpoint
from handover_model.policy import GrootPolicy
from handover_model.policy_spec import probe_request
from handover_training.mini_base import IMAGE_EDGE, draw_network
from result_file import write_result

ENGINES = ("reference", "fast")
BUSY_LOAD = 0.5  # of one-minute load average above which the result says that it was taken busy


@dataclass(frozen=True)
class EngineBenchmark:
    """Measure one chunk by the reference path and by the engine, in turn."""

    checkpoint: Path = Path("checkpoints/aloha-mini")
    new_size: bool = False
    """Put random weights of the sizes that training draws into the checkpoint"""
    threads: int = 1
    warm_up: int = 10
    iterations: int = 100
    name: str = "engine"
    """The result goes to benchmarks/results/NAME.json"""


def main(config: EngineBenchmark) -> dict[str, object]:
    """Measure, print a table and write the result's JSON."""
    torch.set_num_threads(config.threads)
    load = os.getloadavg()[0]
    policies = {name: GrootPolicy(_checkpoint(config), engine=name) for name in ENGINES}
    request = probe_request(policies["fast"].spec)
    wall: dict[str, list[float]] = {name: [] for name in ENGINES}
    cpu: dict[str, list[float]] = {name: [] for name in ENGINES}
    for iteration in range(config.warm_up + config.iterations):
        for name, policy in policies.items():
            began, own = time.perf_counter(), time.process_time()
            policy.infer([request])
            if iteration >= config.warm_up:
                wall[name].append(1e3 * (time.perf_counter() - began))
                cpu[name].append(1e3 * (time.process_time() - own))
    engine = policies["fast"]._engine
    result: dict[str, object] = {
        "weights": "random, new size" if config.new_size else config.checkpoint.name,
        "engine": "reference" if engine is None else engine.name,
        "threads": config.threads,
        "iterations": config.iterations,
        "machine_was_busy": load > BUSY_LOAD,
        "wall_ms": {name: _summary(values) for name, values in wall.items()},
        "cpu_ms": {name: _summary(values) for name, values in cpu.items()},
        "times_as_fast": {"wall": _ratio(wall), "cpu": _ratio(cpu)},
    }
    for name in ENGINES:
        print(f"{name:>9}  wall {_summary(wall[name])}  cpu {_summary(cpu[name])}")
    print(f"{result['engine']}: {result['times_as_fast']}")
    write_result(config.name, result)
    return result


def _checkpoint(config: EngineBenchmark) -> Checkpoint:
    """Load a checkpoint of its own for each policy: the engine lays weights anew."""
    given = load_checkpoint(config.checkpoint)
    network = draw_network(0).eval() if config.new_size else given.network
    network.requires_grad_(False)
    if not config.new_size:
        return given
    image = dataclasses.replace(given.processor_config.image, shortest_image_edge=IMAGE_EDGE)
    processor = dataclasses.replace(given.processor_config, image=image)
    return dataclasses.replace(given, network=network, processor_config=processor)


def _summary(values: list[float]) -> dict[str, float]:
    quantiles = {f"p{q}": round(float(np.percentile(values, q)), 3) for q in (50, 95, 99)}
    return {"min": round(min(values), 3), **quantiles}


def _ratio(times: dict[str, list[float]]) -> dict[str, float]:
    """How many times as fast the engine is, by medians and by minima."""
    slow, fast = (times[name] for name in ENGINES)
    return {
        "median": round(float(np.median(slow) / np.median(fast)), 2),
        "min": round(min(slow) / min(fast), 2),
    }


if __name__ == "__main__":
    main(tyro.cli(EngineBenchmark))
