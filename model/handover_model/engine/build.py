"""Choosing an engine for a network, and checking it against the network's own modules."""

import logging
from collections.abc import Sequence

import numpy as np
import torch

from handover_model.engine.agreement import check_alike
from handover_model.engine.cpu.engine import CpuEngine, TorchBackend
from handover_model.engine.cuda.cuda_graph import CapturedChunk
from handover_model.engine.cuda.engine import CudaGraphEngine
from handover_model.engine.cuda.image_resize import DeviceImageResizer
from handover_model.engine.cuda.kernel_selection import KernelCompiler
from handover_model.engine.fp8.linear import FP8, quantize
from handover_model.engine.fp8.scales import Fp8Scales
from handover_model.engine.functional.inputs import StackFramesFn, stack_frames
from handover_model.engine.functional.tables import take_weights
from handover_model.engine.interface import InferenceEngine
from handover_model.engine.reference import reference_chunks
from handover_model.errors import ModalityError
from handover_model.network.groot import Gr00tNetwork
from handover_model.policy_spec import GPU_BATCH
from handover_model.processing.processor import ByteSample, Processor, RawSample

logger = logging.getLogger(__name__)

ONNX_WEIGHTS = 50_000_000  # above, converting would double a large network's memory
ENGINES = ("auto", "reference", "fast")


def build_engine(
    name: str,
    network: Gr00tNetwork,
    processor: Processor,
    probe: ByteSample,
    *,
    compiled: bool = False,
    scales: Fp8Scales | None = None,
) -> InferenceEngine | None:
    """Make the engine of a name: None is the reference path, the network's own modules.

    probe: a sample on which both must agree. compiled: on a GPU, compile in the background too.
    scales: compute in FP8. With auto, a network that the fast engine does not know, on which it
    disagrees or which a GPU cannot capture is served by the reference path, and the log says so;
    with fast, or with scales, it is an error.
    """
    if name not in ENGINES:
        raise ModalityError(f"engine is {name!r}, expected {', '.join(ENGINES)}")
    if name == "reference" and scales is not None:
        raise ModalityError("the reference path does not compute FP8; leave --engine reference out")
    device = network.action_head.action_encoder.W1.W.device
    if name == "reference" or (device.type not in ("cpu", "cuda") and name == "auto"):
        return None
    try:
        refuse_unknown(network)
        make = _make_graphs if device.type == "cuda" else _make_rows
        engine, difference = make(network, processor, probe, scales)
    except Exception as error:  # ModalityError, or what a GPU's driver raises while it captures
        if name == "fast" or scales is not None:
            raise
        reason = str(error).strip().partition("\n")[0]
        logger.warning("the reference path answers: %s", reason)
        return None
    logger.info("engine %s: within %.1e of the reference path", engine.name, difference)
    if scales is not None:
        _tell_error(scales)
    if compiled and isinstance(engine, CudaGraphEngine):
        engine.compile(KernelCompiler())
    return engine


def _make_graphs(
    network: Gr00tNetwork, processor: Processor, probe: ByteSample, scales: Fp8Scales | None
) -> tuple[InferenceEngine, float]:
    embodiment, pad = _slot(processor), processor.tokenizer.pad_token
    weights, precision = take_weights(network, embodiment), network.action_head.dtype
    if scales is not None:
        weights, precision = quantize(weights, scales.largest_inputs), FP8
    engine = CudaGraphEngine(
        network,
        embodiment,
        pad,
        probe,
        GPU_BATCH,
        CapturedChunk,
        stack=choose_stack(processor, probe, weights.language.embeddings.device),
        weights=weights,
        precision=precision,
    )
    return engine, check_engine(engine, network, processor, [probe], precision)


def _make_rows(
    network: Gr00tNetwork, processor: Processor, probe: ByteSample, scales: Fp8Scales | None
) -> tuple[InferenceEngine, float]:
    embodiment, pad = _slot(processor), processor.tokenizer.pad_token
    if scales is not None:
        weights = quantize(take_weights(network, embodiment), scales.largest_inputs)
        rounded = CpuEngine(network, embodiment, pad, weights)
        return rounded, check_engine(rounded, network, processor, [probe], FP8)
    engine = CpuEngine(network, embodiment, pad)
    difference = check_engine(engine, network, processor, [probe])
    return engine, _use_onnx(engine, network, processor, probe) or difference


def _slot(processor: Processor) -> int:
    return processor.config.embodiment_ids[processor.tag]


def _tell_error(scales: Fp8Scales) -> None:
    error = scales.error
    logger.info(
        "FP8, on %d chunks of %s that it was not calibrated on: cosine %.6f to the reference path, "
        "mean difference %.1e, largest %.1e (normalised units)",
        error.chunks,
        scales.dataset,
        error.cosine,
        error.mean,
        error.largest,
    )


def _use_onnx(
    engine: CpuEngine, network: Gr00tNetwork, processor: Processor, probe: ByteSample
) -> float | None:
    """Let ONNX Runtime compute a small network's rows where it agrees; its largest difference."""
    weights = sum(weight.numel() for weight in network.parameters())
    row = engine.first_row(probe)
    if network.action_head.dtype != torch.float32 or weights > ONNX_WEIGHTS:
        return None
    if row is None or row.start is None:
        return None
    try:
        from handover_model.engine.cpu.onnx import OnnxBackend

        engine.compute_by(OnnxBackend(engine.weights, row), "fast (ONNX Runtime)")
        return check_engine(engine, network, processor, [probe])
    except Exception as error:  # whatever a foreign library raises, PyTorch can compute the rows
        reason = str(error).strip().partition("\n")[0]
        logger.warning("PyTorch computes the rows, ONNX Runtime does not: %s", reason)
        engine.compute_by(TorchBackend(engine.weights), "fast")
        return None


def refuse_unknown(network: Gr00tNetwork) -> None:
    """Raise ModalityError for a variant of the network that the fast engine does not compute."""
    if not network.config.use_alternate_vl_dit:
        raise ModalityError(
            "the fast engine does not compute use_alternate_vl_dit false; use --engine reference"
        )


def choose_stack(processor: Processor, probe: ByteSample, device: torch.device) -> StackFramesFn:
    """Let frames that come raw, as the probe's, be prepared on the device."""
    if not isinstance(probe, RawSample):
        return stack_frames
    return DeviceImageResizer(processor.config.image, processor.image_side, device)


def check_engine(
    engine: InferenceEngine,
    network: Gr00tNetwork,
    processor: Processor,
    samples: Sequence[ByteSample],
    precision: torch.dtype | None = None,
) -> float:
    """Compare an engine with the reference path: the largest difference, in normalised units.

    precision: the engine's, where it is not the network's. Raises ModalityError when they are
    further apart than rounding explains.
    """
    config = network.config
    shape = (len(samples), config.action_horizon, config.max_action_dim)
    noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    want = reference_chunks(network, processor, samples, noise)
    with torch.inference_mode():
        got = engine.run(samples, noise)
    if got is None:
        raise ModalityError("the fast engine finds no layout for this checkpoint's prompts")
    dtype = precision or network.action_head.dtype
    try:
        found = check_alike(got.chunks, want, dtype, "the fast engine and the reference path")
    except ModalityError as error:
        raise ModalityError(f"{error}; use --engine reference, and report the checkpoint") from None
    return found.difference
