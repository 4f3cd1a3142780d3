"""The ways to compute a chunk that are measured side by side, by name.

One that this machine or this version cannot run says why, and has no figure.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from handover_model.checkpoints.checkpoint import Checkpoint
from handover_model.engine.build import check_engine, choose_stack
from handover_model.engine.calibration import calibrate
from handover_model.engine.cpu.engine import CpuEngine
from handover_model.engine.cuda.background_compiler import Compile, compile_whole
from handover_model.engine.cuda.buckets import GPU_BATCH, find_bucket
from handover_model.engine.cuda.cuda_graph import CapturedChunk
from handover_model.engine.cuda.engine import Capture, CudaGraphEngine
from handover_model.engine.cuda.kernel_selection import KernelCompiler
from handover_model.engine.fp8.scales import Fp8Scales
from handover_model.engine.interface import InferenceEngine
from handover_model.policy import GrootPolicy, build_policy
from handover_proto.types import PolicyRequest
from handover_proto.validation import example_request
from torch import Tensor

COMPILE_S = 1800.0  # within which a variant's graphs have to be compiled


class NotAvailable(Exception):
    """A variant cannot run here; the message says why."""


@dataclass(frozen=True)
class Variant:
    """One way to compute a chunk."""

    what: str
    build: Callable[[Checkpoint], GrootPolicy]
    """Raises NotAvailable"""
    compiler: Callable[[], Compile] | None = None
    """Makes what compiles the captured chunks afterwards: see compile_graphs"""


def reference(checkpoint: Checkpoint) -> GrootPolicy:
    """Leave everything to the network's modules."""
    return GrootPolicy(checkpoint)


def compiled_head(checkpoint: Checkpoint) -> GrootPolicy:
    """Compile the action head's transformer and nothing else, as NVIDIA's deployment does."""
    on_gpu = _on_gpu(checkpoint)
    if not on_gpu and shutil.which("g++") is None:
        raise NotAvailable("compiling for a CPU needs a C++ compiler (g++)")
    policy = GrootPolicy(checkpoint)
    transformer = checkpoint.network.action_head.model
    mode = "max-autotune" if on_gpu else "default"
    transformer.forward = torch.compile(transformer.forward, mode=mode)
    return policy


def plain_engine(checkpoint: Checkpoint) -> GrootPolicy:
    """Run the engine's functions as they are; on a GPU batched, in the buckets."""
    if _on_gpu(checkpoint):
        return with_graphs(checkpoint, call_directly)
    policy = GrootPolicy(checkpoint)
    return _checked(policy, CpuEngine(policy.network, *_slot_and_pad(policy)))


def onnx_engine(checkpoint: Checkpoint) -> GrootPolicy:
    """Let the server's engine of a CPU choose: ONNX Runtime where the network is small."""
    if _on_gpu(checkpoint):
        raise NotAvailable("ONNX Runtime computes small networks on CPUs")
    policy = build_policy(checkpoint, engine="fast")
    if "ONNX" not in policy.engine_name:
        raise NotAvailable(f"the engine that was chosen is {policy.engine_name!r}: see the log")
    return policy


def cuda_graph(checkpoint: Checkpoint) -> GrootPolicy:
    """Capture the chunk of each bucket."""
    _want_gpu(checkpoint)
    return with_graphs(checkpoint, CapturedChunk)


def fp8(checkpoint: Checkpoint) -> GrootPolicy:
    """Compute the large layers in FP8, by scales of one gray frame: no time depends on them."""
    _want_gpu(checkpoint)
    return build_policy(checkpoint, engine="fast", scales=gray_scales(checkpoint))


def gray_scales(checkpoint: Checkpoint) -> Fp8Scales:
    """Calibrate on the request that an engine is checked with."""
    policy = GrootPolicy(checkpoint)
    probe = policy.prepare(example_request(policy.spec))
    return calibrate(checkpoint, policy.processor, [probe], [probe], "a gray frame")


VARIANTS = {
    "reference": Variant("the network's modules, eager", reference),
    "compiled transformer": Variant("the same, the action head's DiT compiled", compiled_head),
    "engine": Variant("the engine's functions, eager", plain_engine),
    "engine, ONNX Runtime": Variant("the engine's functions, converted", onnx_engine),
    "engine, CUDA graph": Variant("the whole chunk captured", cuda_graph),
    "engine, compiled CUDA graph": Variant(
        "compiled, then captured", cuda_graph, lambda: compile_whole
    ),
    "engine, Triton kernels": Variant(
        "compiled with kernels of our own", cuda_graph, KernelCompiler
    ),
    "engine, FP8": Variant("the same, large layers in FP8", fp8, KernelCompiler),
}


def with_graphs(checkpoint: Checkpoint, capture: Capture) -> GrootPolicy:
    """Return a policy on the GPU's engine, whose buckets `capture` captures."""
    policy = GrootPolicy(checkpoint)
    probe = policy.probe()
    stack = choose_stack(policy.processor, probe, policy.device)
    slot, pad = _slot_and_pad(policy)
    engine = CudaGraphEngine(policy.network, slot, pad, probe, GPU_BATCH, capture, stack=stack)
    return _checked(policy, engine)


def call_directly(function: Callable[..., Tensor], inputs: list[Tensor], _pool: Any) -> Any:
    """Stand in for a capture: copy the inputs in, and call."""

    def call(given: Sequence[Tensor]) -> Tensor:
        for static, fresh in zip(inputs, given, strict=True):
            static.copy_(fresh, non_blocking=True)
        return function(*inputs)

    return call


def _slot_and_pad(policy: GrootPolicy) -> tuple[int, int]:
    processor = policy.processor
    return processor.config.embodiment_ids[processor.tag], processor.tokenizer.pad_token


def _checked(policy: GrootPolicy, engine: InferenceEngine) -> GrootPolicy:
    """Return the policy with an engine, compared with the reference path first."""
    check_engine(engine, policy.network, policy.processor, [policy.probe()])
    return policy.with_engine(engine)


def compile_graphs(
    policy: GrootPolicy, compile_one: Compile, request: PolicyRequest, batches: Sequence[int]
) -> None:
    """Wait until batches of such a request are answered by compiled chunks; drop other buckets.

    Each of the 15 takes minutes to compile at the published size. Raises NotAvailable.
    """
    engine, sample = policy.engine, policy.prepare(request)
    assert isinstance(engine, CudaGraphEngine)
    most = policy.spec.max_batch
    sizes = {rows for size in (1, *batches) for rows in (min(size, most), size % most) if rows}
    layouts = [engine.layout([sample] * size) for size in sizes]
    asked = {find_bucket(engine.buckets, layout) for layout in layouts if layout is not None}
    engine.buckets = [bucket for bucket in engine.buckets if bucket in asked]
    engine.compile(compile_one)
    deadline = time.monotonic() + COMPILE_S
    while len(engine.compiled) < len(engine.buckets):
        if not engine.compiling or time.monotonic() > deadline:
            raise NotAvailable(
                f"{len(engine.compiled)} of {len(engine.buckets)} graphs are compiled, no more: "
                "see the log"
            )
        engine.run_idle_work()
        time.sleep(0.1)


def _on_gpu(checkpoint: Checkpoint) -> bool:
    return next(checkpoint.network.parameters()).device.type == "cuda"


def _want_gpu(checkpoint: Checkpoint) -> None:
    if not _on_gpu(checkpoint):
        raise NotAvailable("needs a CUDA device, and this run is on a CPU")
