"""The cost of continuing a prefix: learnt and guided beside none, the same requests in turn.

    python -m benchmarks.inference.prefix

Any network's weights will do: what a checkpoint has learnt changes its chunks, not their cost.
"""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from handover_model.checkpoints.checkpoint import load_checkpoint
from handover_model.policy import GrootPolicy, build_policy
from handover_proto.types import ActionPrefix, PolicyRequest
from handover_proto.validation import example_request

from benchmarks.harness.machine import OthersAtWork
from benchmarks.harness.result_file import write_result
from benchmarks.inference.engine import QUIET
from benchmarks.inference.timing import percentiles

ENGINES = ("reference", "fast")
LEARNED, DELAY = 8, 6  # steps: what the policy has learnt, and 300 ms at 20 Hz


@dataclass(frozen=True)
class PrefixBenchmark:
    """Measure one chunk without a prefix, with a learnt one and with a guided one."""

    checkpoint: Path = Path("checkpoints/aloha-mini")
    threads: int = 1
    warm_up: int = 10
    iterations: int = 200
    name: str = "prefix"
    """The result goes to benchmarks/results/NAME.json"""


def main(config: PrefixBenchmark) -> dict[str, object]:
    """Measure, print a table and write the result's JSON."""
    torch.set_num_threads(config.threads)
    others = OthersAtWork()
    runs = [_measure(config, engine) for engine in ENGINES]
    cores = others.cores()
    result: dict[str, object] = {
        "what": "one request from arrays to actions, four kinds in turn; ms",
        "weights": config.checkpoint.name,
        "threads": config.threads,
        "warm_up": config.warm_up,
        "iterations": config.iterations,
        "delay_steps": DELAY,
        "other_processes_cores": cores,
        "machine_was_busy": cores is None or cores > QUIET,
        "runs": runs,
    }
    write_result(config.name, result)
    return result


def _measure(config: PrefixBenchmark, engine: str) -> dict[str, object]:
    unlearned, learned = _policy(config, engine, 0), _policy(config, engine, LEARNED)
    plain = example_request(learned.spec)
    rest = {key: values[:-4] for key, values in unlearned.infer([plain])[0].action.items()}
    continued = dataclasses.replace(plain, prefix=ActionPrefix(rest, DELAY))
    kinds: dict[str, tuple[GrootPolicy, PolicyRequest]] = {
        "unlearned, none": (unlearned, plain),
        "unlearned, guided": (unlearned, continued),
        "learned, none": (learned, plain),
        "learned, continued": (learned, continued),
    }
    head: dict[str, list[float]] = {name: [] for name in kinds}
    cpu: dict[str, list[float]] = {name: [] for name in kinds}
    for iteration in range(config.warm_up + config.iterations):
        for name, (policy, request) in kinds.items():
            own = time.process_time()
            (output,) = policy.infer([request])
            if iteration >= config.warm_up:
                head[name].append(output.durations.action_head_ms)
                cpu[name].append(1e3 * (time.process_time() - own))
    run: dict[str, object] = {
        "engine": learned.engine_name,
        "action_head_ms": {name: percentiles(values) for name, values in head.items()},
        "cpu_ms": {name: percentiles(values) for name, values in cpu.items()},
        "over_none": {
            "learned, continued": _ratios(head, cpu, "learned, continued", "learned, none"),
            "learned, none": _ratios(head, cpu, "learned, none", "unlearned, none"),
            "unlearned, guided": _ratios(head, cpu, "unlearned, guided", "unlearned, none"),
        },
    }
    print(run["engine"], run["over_none"])
    return run


def _policy(config: PrefixBenchmark, engine: str, learned: int) -> GrootPolicy:
    """Load a checkpoint for each policy: the engine lays weights anew."""
    checkpoint = load_checkpoint(config.checkpoint)
    checkpoint.network.requires_grad_(False)
    metadata = dataclasses.replace(checkpoint.metadata, max_delay_steps=learned)
    return build_policy(dataclasses.replace(checkpoint, metadata=metadata), engine=engine)


def _ratios(
    head: dict[str, list[float]], cpu: dict[str, list[float]], kind: str, base: str
) -> dict[str, float]:
    """How many times as long a kind takes as another, by medians and by minima."""
    found: dict[str, float] = {}
    for what, times in (("action_head", head), ("cpu", cpu)):
        ratio = float(np.median(times[kind]) / np.median(times[base]))
        found[f"{what}, median"] = round(ratio, 3)
        found[f"{what}, min"] = round(min(times[kind]) / min(times[base]), 3)
    return found


if __name__ == "__main__":
    main(tyro.cli(PrefixBenchmark))
