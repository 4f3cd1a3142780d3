"""How fast a chunk could be: the bytes that it has to read, and the products that it has to form.

A chunk reads the weights of the denoising steps once a step and all others once; at batch 1 that
bounds it, at large batches the products do. Both rates are measured on the device in the same run.
A CPU's caches may hold a small network: then it is no bound, and the figures say that it is not.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping

import torch
from handover_model.engine.functional.chunk import EngineWeights
from torch import Tensor

COPIED = {"cuda": 2**31, "cpu": 2**28}  # bytes: far more than any cache
CACHE = 32e6  # bytes: what many CPUs and GPUs keep; weights that fit are not read from memory
SIDE = {"cuda": 8192, "cpu": 2048}  # of the square matrices that are multiplied
ROUNDS = 10


def find_floor(
    weights: EngineWeights, tokens: Mapping[str, int], device: torch.device, dtype: torch.dtype
) -> dict[str, float]:
    """Compute a chunk's bytes and operations, and what they take at the device's rates."""
    parts = list(_parts(weights, tokens))
    steps = len(weights.head.steps)
    moved = bytes_read(weights, tokens)
    operations = sum(work * (steps if repeated else 1) for _, work, repeated in parts)
    bandwidth, rate = measure_copy(device), measure_products(device, dtype)
    return {
        "weights_read_mb": round(moved / 1e6, 2),
        "of_these_by_denoising_mb": round(
            sum(s for s, _, again in parts if again) * steps / 1e6, 2
        ),
        "operations_g": round(operations / 1e9, 3),
        "copy_gb_per_s": round(bandwidth / 1e9, 1),
        "products_gflop_per_s": round(rate / 1e9, 1),
        "fits_a_cache": moved < CACHE,
        "floor_ms": round(1e3 * moved / bandwidth, 4),
        "ceiling_chunks_per_s": round(rate / operations, 2),
    }


def bytes_read(weights: EngineWeights, tokens: Mapping[str, int]) -> int:
    """Count the bytes of weights that a chunk reads, in the types that they are kept in."""
    steps = len(weights.head.steps)
    return sum(size * (steps if repeated else 1) for size, _, repeated in _parts(weights, tokens))


def measure_copy(device: torch.device) -> float:
    """Measure bytes/s, read and written, of copying memory."""
    source = torch.empty(COPIED[device.type], dtype=torch.uint8, device=device).fill_(1)
    target = torch.empty_like(source)
    return 2 * source.numel() / _fastest(lambda: target.copy_(source), device)


def measure_products(device: torch.device, dtype: torch.dtype) -> float:
    """Measure operations/s of a large product, with as many threads as the chunk has."""
    side = SIDE[device.type]
    one = torch.randn(side, side, device=device).to(dtype)
    return 2 * side**3 / _fastest(lambda: one @ one, device)


def _parts(weights: EngineWeights, tokens: Mapping[str, int]) -> Iterator[tuple[int, int, bool]]:
    """List (bytes, operations, whether every denoising step reads it) of the network's parts."""
    vision, head = weights.vision, weights.head
    every = tokens["image"] + tokens["text"]
    for part, rows in (
        ((vision.patch, vision.layers, vision.final), tokens["patches"]),
        ((vision.fold_norm, vision.fold_in, vision.fold_out), tokens["image"]),
        ((weights.language.layers, weights.language.final), every),
        (head.text_memory, tokens["text"]),
        (head.image_memory, tokens["image"]),
        ((head.features, head.state, head.steps), 1),
    ):
        yield *_size(part, rows), False
    again = (head.blocks, head.encode_in, head.encode_out, head.positions, head.decode)
    yield *_size(again, tokens["action_side"]), True


def _size(part: object, rows: int) -> tuple[int, int]:
    found = list(tensors_of(part))
    products = sum(tensor.numel() for tensor in found if tensor.ndim == 2)
    return sum(tensor.numel() * tensor.element_size() for tensor in found), 2 * rows * products


def tensors_of(part: object) -> Iterator[Tensor]:
    """Find the tensors of nested dataclasses and tuples."""
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, tuple | list):
        for entry in part:
            yield from tensors_of(entry)
    elif dataclasses.is_dataclass(part):
        for field in dataclasses.fields(part):
            yield from tensors_of(getattr(part, field.name))


def _fastest(call: Callable[[], object], device: torch.device) -> float:
    """Give the seconds of the fastest of some calls."""
    taken: list[float] = []
    for _ in range(ROUNDS):
        _wait(device)
        began = time.perf_counter()
        call()
        _wait(device)
        taken.append(time.perf_counter() - began)
    return min(taken)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
