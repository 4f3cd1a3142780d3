"""GR00T N1.6 policy: from requests to named chunks of absolute actions."""

import copy
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from handover_proto import (
    Frame,
    IdleWork,
    InvalidRequest,
    PolicyOutput,
    PolicyRequest,
    StageDurations,
    example_request,
)

from handover_model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from handover_model.device import choose_device
from handover_model.engine.build import build_engine
from handover_model.engine.cuda.image_resize import can_prepare
from handover_model.engine.fp8.scales import SCALES_FILE, Fp8Scales, load_scales
from handover_model.engine.functional.tokenizer_cache import remember_prompts
from handover_model.engine.interface import EngineOutput, InferenceEngine
from handover_model.engine.reference import ReferenceEngine
from handover_model.errors import ModalityError
from handover_model.network.real_time_chunking import Prefix, PrefixGuide
from handover_model.policy_spec import dtype_name, policy_spec
from handover_model.processing.action_prefix import (
    batches_by_method,
    make_prefix,
    prefix_method,
    take_over,
)
from handover_model.processing.samples import ByteSample

# Below this many weights a second CPU thread saves nothing, and takes two to three times the CPU
# time: benchmarks/results/engine.json.
ONE_THREAD_WEIGHTS = 50_000_000
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class GrootPolicy:
    """Policy of a checkpoint for one embodiment; satisfies handover_proto.Policy.

    The same observation and seed give the same chunk. On a CPU it is the same to the last bit
    whatever else is in the batch, because requests are computed one by one; on a GPU they share a
    batch, in which either all requests are guided to a prefix or none is.
    """

    def __init__(
        self, checkpoint: Checkpoint, tag: str | None = None, engine: InferenceEngine | None = None
    ) -> None:
        """Make the policy of an embodiment, by default the checkpoint's only one.

        engine: what computes the chunks; None for the network's own modules. What an engine leaves
        to them (run returns None) they compute.
        """
        self.network = checkpoint.network
        processor = checkpoint.processor(tag)
        self.processor = replace(processor, tokenizer=remember_prompts(processor.tokenizer))
        self.device = next(self.network.parameters()).device
        self._reference = ReferenceEngine(self.network, self.processor)
        self.engine: InferenceEngine = engine or self._reference
        self.spec = policy_spec(checkpoint, self.processor, self.device, self.engine.precision)

    @property
    def engine_name(self) -> str:
        """The engine's name: reference, or that of a faster one."""
        return self.engine.name

    def with_engine(self, engine: InferenceEngine) -> "GrootPolicy":
        """Return the same policy with another engine."""
        policy = copy.copy(self)
        policy.engine = engine
        policy.spec = replace(self.spec, dtype=dtype_name(engine.precision))
        return policy

    def infer(self, requests: Sequence[PolicyRequest]) -> list[PolicyOutput]:
        """Return one output per request, in order; frames are arrays and seeds are set.

        Raises InvalidRequest for the first request that the processor cannot use.
        """
        noise = [self._draw_noise(request) for request in requests]
        return self.infer_from(requests, noise)

    def infer_from(
        self, requests: Sequence[PolicyRequest], noise: Sequence[np.ndarray]
    ) -> list[PolicyOutput]:
        """Infer from given noise, (horizon, max_action_dim) float32 for each request."""
        size = 1 if self.device.type == "cpu" else max(1, self.spec.max_batch)
        outputs: dict[int, PolicyOutput] = {}
        for batch in batches_by_method(requests, size, self.spec.learned_delay_steps):
            computed = self._infer_batch([requests[k] for k in batch], [noise[k] for k in batch])
            outputs.update(zip(batch, computed, strict=True))
        return [outputs[k] for k in range(len(requests))]

    def prepare(self, request: PolicyRequest, *, raw: bool | None = None) -> ByteSample:
        """Prepare a request's observation for the network.

        raw: leave its frames as they came, for an engine that prepares them; None as the engine
        wants them. Raises InvalidRequest for what the processor cannot use.
        """
        raw = self.engine.prepares_frames if raw is None else raw
        prepare = self.processor.prepare_raw if raw else self.processor.prepare
        observation = request.observation
        try:
            cameras = {
                name: [_array(name, frame) for frame in frames]
                for name, frames in observation.cameras.items()
            }
            return prepare(cameras, observation.state, observation.task)
        except ModalityError as error:
            raise InvalidRequest("observation", "what GetInfo describes", str(error)) from error

    def probe(self) -> ByteSample:
        """Return the sample on which an engine for this device is built and checked.

        On a GPU its frames are raw where the device can prepare them.
        """
        raw = self.device.type == "cuda" and can_prepare(self.processor.config.image)
        return self.prepare(example_request(self.spec), raw=raw)

    def run_idle_work(self) -> None:
        """Let the engine take over what has been compiled: see handover_proto.IdleWork."""
        if isinstance(self.engine, IdleWork):
            self.engine.run_idle_work()

    def _infer_batch(
        self, requests: Sequence[PolicyRequest], noise: Sequence[np.ndarray]
    ) -> list[PolicyOutput]:
        """Infer one batch; each output has the durations of the whole batch."""
        begin = time.perf_counter()
        samples = [self.prepare(request) for request in requests]
        learned = self.spec.learned_delay_steps
        prefix = make_prefix(self.processor, requests, learned)
        prepared = time.perf_counter()
        result = self._denoise(samples, np.stack(noise), prefix)
        decoding = time.perf_counter()
        actions = [
            take_over(self.processor.decode(chunk, request.observation.state), request.prefix)
            for chunk, request in zip(result.chunks, requests, strict=True)
        ]
        decode_ms = 1e3 * (time.perf_counter() - decoding)
        durations = StageDurations(
            preprocess_ms=1e3 * (prepared - begin),
            backbone_ms=result.backbone_ms,
            action_head_ms=result.action_head_ms + decode_ms,
        )
        return [
            PolicyOutput(action, durations, prefix_method(request, learned))
            for action, request in zip(actions, requests, strict=True)
        ]

    def _denoise(
        self, samples: Sequence[ByteSample], noise: np.ndarray, prefix: Prefix | None
    ) -> EngineOutput:
        # a guide needs gradients through the action head, which inference mode's tensors refuse
        with torch.inference_mode(not isinstance(prefix, PrefixGuide)), torch.no_grad():
            output = self.engine.run(samples, noise, prefix)
            return self._reference.run(samples, noise, prefix) if output is None else output

    def _draw_noise(self, request: PolicyRequest) -> np.ndarray:
        """Draw a request's noise from its own seed, on the CPU, so that no batch changes it."""
        if request.seed is None:
            raise InvalidRequest("seed", "a seed, which the server draws where none came", "none")
        config = self.network.config
        shape = (config.action_horizon, config.max_action_dim)
        return np.random.default_rng(request.seed).standard_normal(shape, dtype=np.float32)


def build_policy(
    checkpoint: Checkpoint,
    tag: str | None = None,
    *,
    engine: str = "reference",
    compiled: bool = False,
    scales: Fp8Scales | None = None,
) -> GrootPolicy:
    """Make a policy with the engine of a name: see handover_model.engine.build.build_engine."""
    policy = GrootPolicy(checkpoint, tag)
    built = build_engine(
        engine,
        policy.network,
        policy.processor,
        policy.probe(),
        compiled=compiled,
        scales=scales,
        continues=policy.spec.learned_delay_steps > 0,
    )
    return policy.with_engine(built)


def load_policy(
    name_or_dir: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    tokenizer: Path | None = None,
    tag: str | None = None,
    threads: int | None = None,
    engine: str = "auto",
    compiled: bool = False,
    precision: str = "full",
    fp8_scales: Path | None = None,
) -> GrootPolicy:
    """Load a checkpoint as a policy.

    device: a torch device, or auto for a GPU if there is one. dtype: float32, bfloat16, or auto for
    bfloat16 on a GPU and float32 on a CPU. tag: the embodiment, if the checkpoint has several.
    threads: CPU threads of torch in the whole process; None for one if the network is small, and
    torch's own choice otherwise. engine: auto, reference or fast. compiled: on a GPU, compile the
    fast engine's graphs in the background while it serves. precision: full for the weights' own, or
    fp8 for the large layers in FP8, with the scales of fp8_scales or of the checkpoint's folder.
    """
    place = choose_device(device)
    checkpoint = load_checkpoint(
        name_or_dir, device=place, dtype=choose_dtype(dtype, place), tokenizer=tokenizer
    )
    checkpoint.network.requires_grad_(False)  # prefixes need gradients, but only of the actions
    weights = sum(weight.numel() for weight in checkpoint.network.parameters())
    if threads is not None or weights < ONE_THREAD_WEIGHTS:
        torch.set_num_threads(threads or 1)
    scales = None
    if precision == "fp8":
        path = fp8_scales or checkpoint.folder / SCALES_FILE
        scales = load_scales(path, checkpoint.weights_hash)
    return build_policy(checkpoint, tag, engine=engine, compiled=compiled, scales=scales)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the weights' type of a name; auto is bfloat16 on a GPU and float32 on a CPU."""
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    if name not in DTYPES:
        raise ModalityError(f"dtype is {name!r}, expected auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def _array(name: str, frame: Frame) -> np.ndarray:
    if isinstance(frame, np.ndarray):
        return frame
    raise InvalidRequest(
        f'observation.cameras["{name}"]', "frames that the server has decoded", "a compressed one"
    )
