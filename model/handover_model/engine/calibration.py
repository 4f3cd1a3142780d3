"""FP8 calibration: the layers' largest inputs on a dataset, and the error of the actions."""

from collections.abc import Sequence

import numpy as np
import torch

from handover_model.checkpoints.checkpoint import Checkpoint
from handover_model.engine.cpu.engine import CpuEngine
from handover_model.engine.fp8.linear import FP8, observe_inputs, quantize
from handover_model.engine.fp8.scales import ActionError, Fp8Scales
from handover_model.engine.functional.tables import take_weights
from handover_model.engine.interface import InferenceEngine
from handover_model.engine.reference import ReferenceEngine, compare
from handover_model.errors import ModalityError
from handover_model.processing.processor import Processor
from handover_model.processing.samples import ByteSample

SMALLEST = 1e-6  # for a layer that has read only zeros


def calibrate(
    checkpoint: Checkpoint,
    processor: Processor,
    seen: Sequence[ByteSample],
    unseen: Sequence[ByteSample],
    dataset: str,
) -> Fp8Scales:
    """Find the scales on some observations, and their error on others.

    Every observation gets its own noise. Raises ModalityError for a checkpoint that the engine does
    not compute.
    """
    network = checkpoint.network
    embodiment = processor.config.embodiment_ids[processor.tag]
    pad = processor.tokenizer.pad_token
    weights = take_weights(network, embodiment)
    observed, largest = observe_inputs(weights)
    _run(CpuEngine(network, embodiment, pad, observed), seen, checkpoint)
    inputs = {name: max(float(number), SMALLEST) for name, number in largest.items()}
    rounded = CpuEngine(network, embodiment, pad, quantize(weights, inputs), FP8)
    got = _run(rounded, unseen, checkpoint)
    want = _run(ReferenceEngine(network, processor), unseen, checkpoint)
    found = compare(got, want)
    mean = float(np.abs(got - want).mean())
    error = ActionError(len(unseen), found.cosine, mean, found.difference)
    return Fp8Scales(checkpoint.weights_hash, dataset, len(seen), error, inputs)


@torch.inference_mode()
def _run(
    engine: InferenceEngine, samples: Sequence[ByteSample], checkpoint: Checkpoint
) -> np.ndarray:
    config = checkpoint.config
    shape = (1, config.action_horizon, config.max_action_dim)
    chunks: list[np.ndarray] = []
    for place, sample in enumerate(samples):
        noise = np.random.default_rng(place).standard_normal(shape, dtype=np.float32)
        output = engine.run([sample], noise)
        if output is None:
            raise ModalityError("the fast engine finds no layout for this checkpoint's prompts")
        chunks.append(output.chunks)
    return np.concatenate(chunks)
