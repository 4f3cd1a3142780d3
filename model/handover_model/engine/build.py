"""Choice of an engine for a network, and its check against the network's own modules."""

import logging
from collections.abc import Sequence

import numpy as np
import torch

from handover_model.engine.cpu.engine import CpuEngine, TorchBackend
from handover_model.engine.cuda.buckets import GPU_BATCH
from handover_model.engine.cuda.cuda_graph import CapturedChunk
from handover_model.engine.cuda.engine import CudaGraphEngine
from handover_model.engine.cuda.image_resize import DeviceImageResizer
from handover_model.engine.cuda.kernel_selection import KernelCompiler
from handover_model.engine.fp8.linear import FP8, quantize
from handover_model.engine.fp8.scales import Fp8Scales
from handover_model.engine.functional.inputs import StackFramesFn, stack_frames
from handover_model.engine.functional.tables import take_weights
from handover_model.engine.interface import InferenceEngine
from handover_model.engine.reference import ReferenceEngine, check_alike
from handover_model.errors import ModalityError
from handover_model.network.flow_matching import clean_steps
from handover_model.network.groot import Gr00tNetwork
from handover_model.network.real_time_chunking import CleanPrefix
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
    continues: bool = False,
) -> InferenceEngine:
    """Make the engine of a name: auto, reference or fast.

    probe: a sample on which it must agree with the reference. compiled: on a GPU, also compile in
    the background. scales: compute in FP8. continues: the network has learnt to continue a prefix;
    the engines have to agree on that too. With auto, a network is served by the reference path, and
    a warning logged, if the fast engine does not support it or disagrees on the probe, or if a GPU
    cannot capture it; with fast, or with scales, this is an error.
    """
    if name not in ENGINES:
        raise ModalityError(f"engine is {name!r}, expected {', '.join(ENGINES)}")
    if name == "reference" and scales is not None:
        raise ModalityError("the reference path does not compute FP8; leave --engine reference out")
    reference = ReferenceEngine(network, processor)
    device = network.action_head.action_encoder.W1.W.device
    if name == "reference" or (device.type not in ("cpu", "cuda") and name == "auto"):
        return reference
    try:
        refuse_unknown(network)
        make = _make_cuda_engine if device.type == "cuda" else _make_cpu_engine
        engine, difference = make(network, processor, probe, scales, continues)
    except Exception as error:  # ModalityError, or what a GPU's driver raises while it captures
        if name == "fast" or scales is not None:
            raise
        logger.warning("the reference path answers: %s", _first_line(error))
        return reference
    logger.info("engine %s: within %.1e of the reference path", engine.name, difference)
    if scales is not None:
        _log_fp8_error(scales)
    if compiled and isinstance(engine, CudaGraphEngine):
        engine.compile(KernelCompiler())
    return engine


def _make_cuda_engine(
    network: Gr00tNetwork,
    processor: Processor,
    probe: ByteSample,
    scales: Fp8Scales | None,
    continues: bool,
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
        continues=continues,
    )
    return engine, check_engine(engine, network, processor, [probe], continues)


def _make_cpu_engine(
    network: Gr00tNetwork,
    processor: Processor,
    probe: ByteSample,
    scales: Fp8Scales | None,
    continues: bool,
) -> tuple[InferenceEngine, float]:
    embodiment, pad = _slot(processor), processor.tokenizer.pad_token
    if scales is not None:
        weights = quantize(take_weights(network, embodiment), scales.largest_inputs)
        rounded = CpuEngine(network, embodiment, pad, weights, FP8, continues=continues)
        return rounded, check_engine(rounded, network, processor, [probe], continues)
    engine = CpuEngine(network, embodiment, pad, continues=continues)
    difference = check_engine(engine, network, processor, [probe], continues)
    return engine, _use_onnx(engine, network, processor, probe, continues) or difference


def _slot(processor: Processor) -> int:
    return processor.config.embodiment_ids[processor.tag]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _log_fp8_error(scales: Fp8Scales) -> None:
    error = scales.error
    logger.info(
        "FP8, on %d chunks of %s that it was not calibrated on: cosine %.6f to the reference path, "
        "mean difference %.1e, largest %.1e (normalized units)",
        error.chunks,
        scales.dataset,
        error.cosine,
        error.mean,
        error.largest,
    )


def _use_onnx(
    engine: CpuEngine,
    network: Gr00tNetwork,
    processor: Processor,
    probe: ByteSample,
    continues: bool,
) -> float | None:
    """Let ONNX Runtime compute a small network if it agrees; return its largest difference."""
    weights = sum(weight.numel() for weight in network.parameters())
    example = engine.example(probe)
    if network.action_head.dtype != torch.float32 or weights > ONNX_WEIGHTS:
        return None
    if example is None or example.start is None:
        return None
    try:
        from handover_model.engine.cpu.onnx import OnnxBackend

        engine.use_backend(OnnxBackend(engine.weights, example), "fast (ONNX Runtime)")
        return check_engine(engine, network, processor, [probe], continues)
    except Exception as error:  # whatever a foreign library raises, PyTorch can compute the chunk
        logger.warning("PyTorch computes the rows, ONNX Runtime does not: %s", _first_line(error))
        engine.use_backend(TorchBackend(engine.weights), "fast")
        return None


def refuse_unknown(network: Gr00tNetwork) -> None:
    """Raise ModalityError for a variant of the network that the fast engine does not compute."""
    if not network.config.use_alternate_vl_dit:
        raise ModalityError(
            "the fast engine does not compute use_alternate_vl_dit false; use --engine reference"
        )


def choose_stack(processor: Processor, probe: ByteSample, device: torch.device) -> StackFramesFn:
    """Return what stacks frames: on the device, with their preparation, if the probe's are raw."""
    if not isinstance(probe, RawSample):
        return stack_frames
    return DeviceImageResizer(processor.config.image, processor.image_side, device)


def check_engine(
    engine: InferenceEngine,
    network: Gr00tNetwork,
    processor: Processor,
    samples: Sequence[ByteSample],
    continues: bool = False,
) -> float:
    """Compare an engine with the reference path: the largest difference, in normalized units.

    continues: also with a prefix of one step.

    Raises ModalityError when they differ by more than rounding explains.
    """
    config = network.config
    shape = (len(samples), config.action_horizon, config.max_action_dim)
    noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    what = "the fast engine and the reference path"
    prefixes: list[CleanPrefix | None] = [None]
    if continues:
        target = torch.from_numpy(noise).clamp(-1, 1)
        prefixes.append(CleanPrefix(target, clean_steps(torch.ones(len(samples)), shape[1])))
    differences: list[float] = []
    for prefix in prefixes:
        with torch.inference_mode():
            want = ReferenceEngine(network, processor).run(samples, noise, prefix).chunks
            got = engine.run(samples, noise, prefix)
        if got is None:
            raise ModalityError("the fast engine finds no layout for this checkpoint's prompts")
        try:
            found = check_alike(got.chunks, want, engine.precision, what)
        except ModalityError as error:
            raise ModalityError(
                f"{error}; use --engine reference, and report the checkpoint"
            ) from None
        differences.append(found.difference)
    return max(differences)
