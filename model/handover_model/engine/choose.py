"""Choosing an engine for a network, and checking it against the network's own modules."""

import logging
from collections.abc import Sequence

import numpy as np
import torch

from handover_model.engine.cuda_graph import CapturedChunk
from handover_model.engine.device_frames import DeviceFrames
from handover_model.engine.graphs import GraphEngine
from handover_model.engine.inputs import Stack, stack_frames
from handover_model.engine.rows import PlainRows, RowEngine
from handover_model.engine.seam import ChunkEngine
from handover_model.errors import ModalityError
from handover_model.network import Gr00tNetwork
from handover_model.policy_spec import GPU_BATCH
from handover_model.processor import PreparedSample, Processor, RawSample

logger = logging.getLogger(__name__)

ONNX_WEIGHTS = 50_000_000  # above, converting would double a large network's memory
ENGINES = ("auto", "reference", "fast")
FLOAT32_ATOL = 1e-3  # normalised units; rounding alone gives some 1e-6
BFLOAT16_COSINE = 0.99  # at least; two orders of rounding give more


def choose_engine(
    name: str, network: Gr00tNetwork, processor: Processor, probe: PreparedSample
) -> ChunkEngine | None:
    """Make the engine of a name: None is the reference path, the network's own modules.

    probe: a sample on which both must agree. With auto, a network that the fast engine does not
    know, or on which it disagrees, is served by the reference path, and the log says so; with fast
    it is a ModalityError.
    """
    if name not in ENGINES:
        raise ModalityError(f"engine is {name!r}, expected {', '.join(ENGINES)}")
    device = network.action_head.action_encoder.W1.W.device
    if name == "reference" or (name == "auto" and device.type != "cpu"):
        return None  # CUDA graphs have not been run on a GPU yet: they are there to be asked for
    try:
        refuse_unknown(network)
        embodiment = processor.config.embodiment_ids[processor.tag]
        pad = processor.tokenizer.pad_token
        if device.type == "cuda":
            stack = choose_stack(processor, probe, device)
            engine = GraphEngine(
                network, embodiment, pad, probe, GPU_BATCH, CapturedChunk, stack=stack
            )
            difference = check_engine(engine, network, processor, [probe])
        else:
            engine = RowEngine(network, embodiment, pad)
            difference = check_engine(engine, network, processor, [probe])
            difference = _use_onnx(engine, network, processor, probe) or difference
    except ModalityError as error:
        if name == "fast":
            raise
        logger.warning("the reference path answers: %s", error)
        return None
    logger.info("engine %s: within %.1e of the reference path", engine.name, difference)
    return engine


def _use_onnx(
    engine: RowEngine, network: Gr00tNetwork, processor: Processor, probe: PreparedSample
) -> float | None:
    """Let ONNX Runtime compute a small network's rows where it agrees; its largest difference."""
    weights = sum(weight.numel() for weight in network.parameters())
    row = engine.first_row(probe)
    if network.action_head.dtype != torch.float32 or weights > ONNX_WEIGHTS:
        return None
    if row is None or row.start is None:
        return None
    try:
        from handover_model.engine.onnx_rows import OnnxRows

        engine.compute_by(OnnxRows(engine.weights, row), "fast (ONNX Runtime)")
        return check_engine(engine, network, processor, [probe])
    except Exception as error:  # whatever a foreign library raises, PyTorch can compute the rows
        reason = str(error).strip().partition("\n")[0]
        logger.warning("PyTorch computes the rows, ONNX Runtime does not: %s", reason)
        engine.compute_by(PlainRows(engine.weights), "fast")
        return None


def refuse_unknown(network: Gr00tNetwork) -> None:
    """Raise ModalityError for a variant of the network that the fast engine does not compute."""
    if not network.config.use_alternate_vl_dit:
        raise ModalityError(
            "the fast engine does not compute use_alternate_vl_dit false; use --engine reference"
        )


def choose_stack(processor: Processor, probe: PreparedSample, device: torch.device) -> Stack:
    """Let frames that come raw, as the probe's, be prepared on the device."""
    if not isinstance(probe, RawSample):
        return stack_frames
    return DeviceFrames(processor.config.image, processor.image_side, device)


@torch.inference_mode()
def check_engine(
    engine: ChunkEngine,
    network: Gr00tNetwork,
    processor: Processor,
    samples: Sequence[PreparedSample],
) -> float:
    """Compare an engine with the reference path: the largest difference, in normalised units.

    Raises ModalityError when they are further apart than their type's rounding explains.
    """
    head = network.action_head
    device, dtype = head.action_encoder.W1.W.device, head.dtype
    config = network.config
    shape = (len(samples), config.action_horizon, config.max_action_dim)
    noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    inputs = processor.collate([sample.scaled() for sample in samples]).to(device, dtype)
    want = network.generate(inputs, torch.from_numpy(noise).to(device)).cpu().numpy()
    got = engine.run(samples, noise)
    if got is None:
        raise ModalityError("the fast engine finds no layout for this checkpoint's prompts")
    difference = float(np.abs(got.chunks - want).max())
    cosine = cosine_similarity(got.chunks, want)
    agrees = difference <= FLOAT32_ATOL if dtype == torch.float32 else cosine >= BFLOAT16_COSINE
    if not agrees:
        raise ModalityError(
            f"the fast engine and the reference path differ by {difference:.2e} (cosine "
            f"{cosine:.6f}) in {dtype}; use --engine reference, and report the checkpoint"
        )
    return difference


def cosine_similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Compare two chunks as vectors: 1 when they point the same way."""
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))
