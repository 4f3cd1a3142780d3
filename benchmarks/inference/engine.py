"""The engine beside the reference path on one CPU: the same requests in turn, in one run.

    python -m benchmarks.inference.engine

Wall time tells what a robot waits on this machine as it was; the process's own CPU time is what
remains comparable when other processes were at work.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from handover_model.checkpoints.checkpoint import load_checkpoint
from handover_model.policy import GrootPolicy, build_policy
from handover_proto.validation import example_request

from benchmarks.harness.machine import OthersAtWork
from benchmarks.harness.result_file import write_result
from benchmarks.inference.timing import percentiles

ENGINES = ("reference", "fast")
QUIET = 0.2  # cores that other processes may be on before the result says that it was taken busy


@dataclass(frozen=True)
class EngineBenchmark:
    """Measure one chunk by the reference path and by the engine, in turn."""

    checkpoint: Path = Path("checkpoints/aloha-mini")
    threads: tuple[int, ...] = (1, 2)
    """CPU threads of each run"""
    warm_up: int = 20
    iterations: int = 300
    name: str = "engine"
    """The result goes to benchmarks/results/NAME.json"""


def main(config: EngineBenchmark) -> dict[str, object]:
    """Measure, print a table and write the result's JSON."""
    others = OthersAtWork()
    runs = [_measure(config, threads) for threads in config.threads]
    cores = others.cores()
    result: dict[str, object] = {
        "what": "one request from arrays to actions, both paths in turn; ms",
        "weights": config.checkpoint.name,
        "warm_up": config.warm_up,
        "iterations": config.iterations,
        "other_processes_cores": cores,
        "machine_was_busy": cores is None or cores > QUIET,
        "runs": runs,
    }
    write_result(config.name, result)
    return result


def _measure(config: EngineBenchmark, threads: int) -> dict[str, object]:
    """Measure with a number of threads."""
    torch.set_num_threads(threads)
    policies = {name: _policy(config, name) for name in ENGINES}
    request = example_request(policies["fast"].spec)
    wall: dict[str, list[float]] = {name: [] for name in ENGINES}
    cpu: dict[str, list[float]] = {name: [] for name in ENGINES}
    for iteration in range(config.warm_up + config.iterations):
        for name, policy in policies.items():
            began, own = time.perf_counter(), time.process_time()
            policy.infer([request])
            if iteration >= config.warm_up:
                wall[name].append(1e3 * (time.perf_counter() - began))
                cpu[name].append(1e3 * (time.process_time() - own))
    run: dict[str, object] = {
        "threads": threads,
        "engine": policies["fast"].engine_name,
        "wall_ms": {name: percentiles(values) for name, values in wall.items()},
        "cpu_ms": {name: percentiles(values) for name, values in cpu.items()},
        "times_as_fast": {"wall": _ratio(wall), "cpu": _ratio(cpu)},
    }
    for name in ENGINES:
        print(f"{name:>9}  wall {percentiles(wall[name])}  cpu {percentiles(cpu[name])}")
    print(f"{run['engine']}, {threads} threads: {run['times_as_fast']}")
    return run


def _policy(config: EngineBenchmark, engine: str) -> GrootPolicy:
    """Load a checkpoint for each policy: the engine lays weights anew."""
    checkpoint = load_checkpoint(config.checkpoint)
    checkpoint.network.requires_grad_(False)
    return build_policy(checkpoint, engine=engine)


def _ratio(times: dict[str, list[float]]) -> dict[str, float]:
    """How many times as fast the engine is, by medians and by minima."""
    slow, fast = (times[name] for name in ENGINES)
    return {
        "median": round(float(np.median(slow) / np.median(fast)), 2),
        "min": round(min(slow) / min(fast), 2),
    }


if __name__ == "__main__":
    main(tyro.cli(EngineBenchmark))
