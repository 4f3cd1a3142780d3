"""One action chunk by every way to compute it, side by side in one run: latency, rates, the floor.

    python -m benchmarks.inference.latency --checkpoint checkpoints/aloha-mini
    python -m benchmarks.inference.latency --checkpoint checkpoints/aloha-mini --full-size

From frames and state as arrays to actions in physical units, in process. --full-size measures
networks of the published sizes with random weights, for chunks of 16 and 50 steps: no time depends
on their values. The prompt is tokenized by the given checkpoint's tokenizer; the counts of tokens
are beside the figures. Variants that cannot run here are listed with the reason.
"""

import gc
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from handover_model.engine.cuda.engine import CudaGraphEngine
from handover_model.engine.functional.tables import take_weights
from handover_model.policy import GrootPolicy

from benchmarks.harness.machine import OthersAtWork
from benchmarks.harness.result_file import write_result
from benchmarks.inference.floor import bytes_read, find_floor
from benchmarks.inference.networks import Subject, choose_subject, count_tokens
from benchmarks.inference.timing import time_batches, time_chunks, time_stages
from benchmarks.inference.variants import VARIANTS, NotAvailable, Variant, compile_graphs

Result = dict[str, Any]


@dataclass(frozen=True)
class InferenceBenchmark:
    """Measure one action chunk by every variant."""

    checkpoint: Path
    """Checkpoint folder: what is measured, or with --full-size whose processor is used"""
    full_size: bool = False
    """Measure networks of the published sizes with random weights instead"""
    horizons: tuple[int, ...] = (16, 50)
    """With --full-size: steps of a chunk"""
    variants: tuple[str, ...] = tuple(VARIANTS)
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int = 1
    """CPU threads of torch"""
    size: tuple[int, int] = field(default=(256, 256))
    """Height and width of the camera image in pixels"""
    warm_up: int = 50
    iterations: int = 200
    batch_iterations: int = 20
    name: str = "inference"
    """The result goes to benchmarks/results/NAME.json"""


def main(config: InferenceBenchmark) -> Result:
    """Measure, print tables and write the result's JSON."""
    if unknown := [name for name in config.variants if name not in VARIANTS]:
        raise SystemExit(f"no variant {unknown[0]!r}, expected some of {', '.join(VARIANTS)}")
    torch.set_num_threads(config.threads)
    others = OthersAtWork()
    horizons = config.horizons if config.full_size else (None,)
    runs = [_measure(config, horizon) for horizon in horizons]
    result: Result = {
        "what": "one request from arrays to actions, in process; ms",
        "threads": config.threads,
        "image": list(config.size),
        "warm_up": config.warm_up,
        "iterations": config.iterations,
        "other_processes_cores": others.cores(),
        "runs": runs,
    }
    write_result(config.name, result)
    return result


def _measure(config: InferenceBenchmark, horizon: int | None) -> Result:
    """Measure all variants on one network."""
    subject = choose_subject(config.checkpoint, horizon, config.device, config.dtype, config.size)
    run = _describe(subject)
    print(f"{run['weights']}: chunks of {run['horizon']} steps, {run['device']}, {run['dtype']}")
    print(f"  tokens {run['tokens']}\n  floor {run['floor']}")
    run["variants"] = {
        name: measure_variant(config, subject, name, run) for name in config.variants
    }
    return run


def _describe(subject: Subject) -> Result:
    checkpoint = subject.load()
    policy = GrootPolicy(checkpoint)
    tokens = count_tokens(policy, subject.request(policy, 0))
    processor = policy.processor
    slot = processor.config.embodiment_ids[processor.tag]
    weights = take_weights(checkpoint.network, slot)
    return {
        "weights": subject.weights,
        "parameters": sum(weight.numel() for weight in checkpoint.network.parameters()),
        "device": _device_name(subject.device),
        "dtype": policy.spec.dtype,
        "horizon": checkpoint.config.action_horizon,
        "denoising_steps": checkpoint.config.num_inference_timesteps,
        "tokens": tokens,
        "floor": find_floor(weights, tokens, subject.device, subject.dtype),
    }


def measure_variant(config: InferenceBenchmark, subject: Subject, name: str, run: Result) -> Result:
    """Measure one variant; what it raises is its reason, and costs the others nothing."""
    what = VARIANTS[name].what
    try:
        found = {"what": what, **_time_variant(config, subject, VARIANTS[name], run)}
    except Exception as error:  # NotAvailable, or what a compiler or a driver raises
        said = str(error).strip().partition("\n")[0]
        reason = said if isinstance(error, NotAvailable) else f"{type(error).__name__}: {said}"
        print(f"  {name:>28}  not available: {reason}")
        found = {"what": what, "not_available": reason}
    else:
        _show(name, found)
    gc.collect()
    return found


def _time_variant(
    config: InferenceBenchmark, subject: Subject, variant: Variant, run: Result
) -> Result:
    policy = variant.build(subject.load())
    requests = [subject.request(policy, seed) for seed in range(max(config.batches, default=1))]
    if variant.compiler is not None:
        compile_graphs(policy, variant.compiler(), requests[0], config.batches)
    chunk = time_chunks(policy, requests[0], config.warm_up, config.iterations)
    wall: Any = chunk["wall_ms"]
    floor, engine = run["floor"], policy.engine
    read_mb = floor["weights_read_mb"]
    if isinstance(engine, CudaGraphEngine):  # perhaps in FP8
        read_mb = round(bytes_read(engine.weights, run["tokens"]) / 1e6, 2)
    return {
        **chunk,
        "weights_read_mb": read_mb,
        "share_of_floor": round(
            floor["floor_ms"] * read_mb / floor["weights_read_mb"] / wall["p50"], 4
        ),
        "nvidia_protocol_ms": time_stages(policy, requests[0], config.warm_up, config.iterations),
        "batches": time_batches(
            policy,
            requests,
            config.batches,
            config.batch_iterations,
            floor["ceiling_chunks_per_s"],
        ),
    }


def _show(name: str, found: Result) -> None:
    clocks = [
        f"{clock} {found[clock]}" for clock in ("wall_ms", "cuda_events_ms") if clock in found
    ]
    print(f"  {name:>28}  {'  '.join(clocks)}  of the floor {found['share_of_floor']}")
    print(f"  {'':>28}  NVIDIA's protocol {found['nvidia_protocol_ms']}")
    rates = "  ".join(f"{row['batch']}: {row['chunks_per_s']}" for row in found["batches"])
    print(f"  {'':>28}  chunks/s by batch  {rates}")


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


if __name__ == "__main__":
    main(tyro.cli(InferenceBenchmark))
