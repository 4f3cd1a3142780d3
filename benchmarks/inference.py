"""How long one action chunk takes, stage by stage, in process.

    python benchmarks/inference.py --checkpoint checkpoints/aloha-mini
    python benchmarks/inference.py --checkpoint checkpoints/aloha-mini --full-size

--full-size measures a network of the published checkpoint's sizes with random weights: the time
does not depend on their values. The prompt is tokenised with the given checkpoint's tokenizer, so
the number of text tokens is in the result beside the figures.
"""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from handover_model.checkpoint import Checkpoint, load_checkpoint
from handover_model.config import ModelConfig
from handover_model.device import choose_device
from handover_model.eagle import EagleConfig
from handover_model.network import Gr00tNetwork, build_empty
from handover_model.policy import DTYPES, GrootPolicy
from handover_proto.contract import Observation, PolicyRequest
from result_file import write_result

TASK = "Pick up the cube with the right arm and transfer it to the left arm."
PUBLISHED = ModelConfig(max_state_dim=128, max_action_dim=128, action_horizon=50)


@dataclass(frozen=True)
class InferenceBenchmark:
    """Measure the stages of one action chunk."""

    checkpoint: Path
    """Checkpoint folder: what is measured, or with --full-size whose processor is used"""
    full_size: bool = False
    """Measure a network of the published sizes with random weights instead"""
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int = 1
    """CPU threads of torch"""
    height: int = 256
    """Height of the camera image in pixels"""
    width: int = 256
    """Width of the camera image in pixels"""
    warm_up: int = 5
    iterations: int = 50
    seed: int = 0
    name: str = "inference"
    """The result goes to benchmarks/results/NAME.json"""


def main(config: InferenceBenchmark) -> dict[str, object]:
    """Measure, print a table and write the result's JSON."""
    torch.set_num_threads(config.threads)
    checkpoint = _checkpoint(config)
    policy = GrootPolicy(checkpoint)
    request = _request(policy, config)
    times = _measure(policy, request, config)
    result = {
        "weights": "random, published sizes" if config.full_size else checkpoint.name,
        "parameters": sum(weight.numel() for weight in checkpoint.network.parameters()),
        "device": policy.spec.device,
        "dtype": policy.spec.dtype,
        "threads": config.threads,
        "image": [config.height, config.width],
        "tokens": _tokens(checkpoint, request),
        "horizon": checkpoint.config.action_horizon,
        "denoising_steps": checkpoint.config.num_inference_timesteps,
        "warm_up": config.warm_up,
        "iterations": config.iterations,
        "stages_ms": {stage: _percentiles(values) for stage, values in times.items()},
    }
    print(f"{result['weights']}: {policy.spec.device}, {policy.spec.dtype}, ms")
    for stage, values in times.items():
        row = "  ".join(f"{name} {value:9.2f}" for name, value in _percentiles(values).items())
        print(f"{stage:>12}  {row}")
    write_result(config.name, result)
    return result


def _checkpoint(config: InferenceBenchmark) -> Checkpoint:
    device = choose_device(config.device)
    chosen = config.dtype
    if chosen == "auto":
        chosen = "bfloat16" if device.type == "cuda" else "float32"
    given = load_checkpoint(config.checkpoint, device=device, dtype=DTYPES[chosen])
    if not config.full_size:
        return given
    eagle = EagleConfig(image_token_index=given.network.eagle.image_token_index)
    network = _random_network(PUBLISHED, eagle, device, DTYPES[chosen], config.seed)
    processor = dataclasses.replace(
        given.processor_config,
        max_state_dim=PUBLISHED.max_state_dim,
        max_action_dim=PUBLISHED.max_action_dim,
        max_action_horizon=PUBLISHED.action_horizon,
    )
    return dataclasses.replace(given, network=network, processor_config=processor)


def _random_network(
    config: ModelConfig, eagle: EagleConfig, device: torch.device, dtype: torch.dtype, seed: int
) -> Gr00tNetwork:
    """Fill a network with small random weights, in place, so that no second copy is needed."""
    network = build_empty(config, eagle).to(dtype).to_empty(device=device)
    generator = torch.Generator(device).manual_seed(seed)
    for weight in network.parameters():
        weight.data.normal_(0, 0.02, generator=generator)
    network.backbone.model.language_model.make_frequencies(device)
    return network.eval()


def _request(policy: GrootPolicy, config: InferenceBenchmark) -> PolicyRequest:
    random = np.random.default_rng(config.seed)
    shape = (config.height, config.width, 3)
    cameras = {
        camera.name: [random.integers(0, 256, shape, np.uint8) for _ in range(camera.steps)]
        for camera in policy.spec.cameras
    }
    state = {
        group.name: np.zeros((group.steps, group.dim), np.float32) for group in policy.spec.state
    }
    return PolicyRequest(Observation(cameras, state, TASK), seed=config.seed)


def _tokens(checkpoint: Checkpoint, request: PolicyRequest) -> dict[str, int]:
    observation = request.observation
    frames = {
        name: [np.asarray(frame) for frame in frames]
        for name, frames in observation.cameras.items()
    }
    processor = checkpoint.processor()
    sample = processor.prepare(frames, observation.state, observation.task)
    ids = processor.collate([sample]).input_ids
    image = int((ids == checkpoint.network.eagle.image_token_index).sum())
    return {"image": image, "text": ids.numel() - image}


def _measure(
    policy: GrootPolicy, request: PolicyRequest, config: InferenceBenchmark
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {
        stage: [] for stage in ("preprocess", "backbone", "action_head", "wall")
    }
    for iteration in range(config.warm_up + config.iterations):
        begin = time.perf_counter()
        (output,) = policy.infer([request])  # synchronises: its chunk is a numpy array
        wall_ms = 1e3 * (time.perf_counter() - begin)
        if iteration < config.warm_up:
            continue
        times["preprocess"].append(output.durations.preprocess_ms)
        times["backbone"].append(output.durations.backbone_ms)
        times["action_head"].append(output.durations.action_head_ms)
        times["wall"].append(wall_ms)
    return times


def _percentiles(values: list[float]) -> dict[str, float]:
    return {f"p{q}": round(float(np.percentile(values, q)), 3) for q in (50, 95, 99)}


if __name__ == "__main__":
    main(tyro.cli(InferenceBenchmark))
