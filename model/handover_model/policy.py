"""A GR00T N1.6 checkpoint as a policy: requests in, named chunks of absolute actions out."""

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
    PolicySpec,
    StageDurations,
)

from handover_model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from handover_model.device import choose_device
from handover_model.engine.build import build_engine
from handover_model.engine.cuda.image_resize import can_prepare
from handover_model.engine.fp8.scales import SCALES_FILE, Fp8Scales, load_scales
from handover_model.engine.functional.tokenizer_cache import remember_prompts
from handover_model.engine.interface import EngineOutput
from handover_model.errors import ModalityError
from handover_model.network.real_time_chunking import PrefixGuide
from handover_model.policy_spec import policy_spec, probe_request
from handover_model.processing.action_prefix import batches_by_kind, make_guide, take_over
from handover_model.processing.samples import ByteSample

# Below this many weights a second CPU thread saves nothing, and takes two to three times the CPU
# time: benchmarks/results/engine.json.
ONE_THREAD_WEIGHTS = 50_000_000
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class GrootPolicy:
    """Answers requests with a checkpoint; satisfies handover_proto.types.Policy.

    The same observation and seed give the same chunk. On a CPU it is the same to the last bit
    whatever comes with it, because requests are computed one by one; on a GPU they share a batch
    with those that have a prefix as they have, or none as they have none.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        tag: str | None = None,
        engine: str = "reference",
        compiled: bool = False,
        scales: Fp8Scales | None = None,
    ) -> None:
        """Make a policy; engine: auto, reference or fast, see handover_model.engine.build."""
        self._network = checkpoint.network
        processor = checkpoint.processor(tag)
        self._processor = replace(processor, tokenizer=remember_prompts(processor.tokenizer))
        weight = next(self._network.parameters())
        self._device, self._dtype = weight.device, self._network.action_head.dtype
        self._spec = policy_spec(checkpoint, self._processor, self._device, self._dtype)
        # a GPU's engine prepares frames itself; all else takes them prepared
        self._raw = self._device.type == "cuda" and can_prepare(self._processor.config.image)
        probe = self._prepare(probe_request(self._spec))
        self._engine = build_engine(
            engine, self._network, self._processor, probe, compiled=compiled, scales=scales
        )
        self._raw = self._raw and self._engine is not None
        if scales is not None:
            self._spec = replace(self._spec, dtype="fp8")

    @property
    def spec(self) -> PolicySpec:
        """What this policy needs and gives."""
        return self._spec

    def infer(self, requests: Sequence[PolicyRequest]) -> list[PolicyOutput]:
        """Answer requests in order; their frames are arrays and their seeds are set.

        Raises InvalidRequest for the first request that the processor cannot use.
        """
        noise = [self._draw_noise(request) for request in requests]
        return self.infer_from(requests, noise)

    def infer_from(
        self, requests: Sequence[PolicyRequest], noise: Sequence[np.ndarray]
    ) -> list[PolicyOutput]:
        """Answer requests from given noise, (horizon, max_action_dim) float32 for each."""
        size = 1 if self._device.type == "cpu" else max(1, self._spec.max_batch)
        outputs: dict[int, PolicyOutput] = {}
        for batch in batches_by_kind(requests, size):
            answers = self._answer([requests[k] for k in batch], [noise[k] for k in batch])
            outputs.update(zip(batch, answers, strict=True))
        return [outputs[k] for k in range(len(requests))]

    def run_idle_work(self) -> None:
        """Let the engine take over what has been compiled: see contract.Improving."""
        if isinstance(self._engine, IdleWork):
            self._engine.run_idle_work()

    def _answer(
        self, requests: Sequence[PolicyRequest], noise: Sequence[np.ndarray]
    ) -> list[PolicyOutput]:
        """Answer one batch; every request is told the durations of the batch that it was in."""
        begin = time.perf_counter()
        samples = [self._prepare(request) for request in requests]
        guide = make_guide(self._processor, requests)
        prepared = time.perf_counter()
        result = self._denoise(samples, np.stack(noise), guide)
        decoding = time.perf_counter()
        actions = [
            take_over(self._processor.decode(chunk, request.observation.state), request.prefix)
            for chunk, request in zip(result.chunks, requests, strict=True)
        ]
        decode_ms = 1e3 * (time.perf_counter() - decoding)
        durations = StageDurations(
            preprocess_ms=1e3 * (prepared - begin),
            backbone_ms=result.backbone_ms,
            action_head_ms=result.action_head_ms + decode_ms,
        )
        return [PolicyOutput(action, durations) for action in actions]

    def _denoise(
        self, samples: Sequence[ByteSample], noise: np.ndarray, guide: PrefixGuide | None
    ) -> EngineOutput:
        # a guide needs gradients through the action head, which inference mode's tensors refuse
        with torch.inference_mode(guide is None), torch.no_grad():
            if self._engine is not None:
                answer = self._engine.run(samples, noise, guide)
                if answer is not None:
                    return answer
            return self._run_network(samples, noise, guide)

    def _run_network(
        self, samples: Sequence[ByteSample], noise: np.ndarray, guide: PrefixGuide | None
    ) -> EngineOutput:
        begin = self._clock()
        scaled = [sample.scaled() for sample in samples]
        inputs = self._processor.collate(scaled).to(self._device, self._dtype)
        features = self._network.backbone(inputs.images, inputs.input_ids, inputs.attention_mask)
        middle = self._clock()
        start = torch.from_numpy(noise).to(self._device)
        guide = guide.to(self._device) if guide is not None else None
        chunk = self._network.action_head.generate(
            features, inputs.state, inputs.embodiment, start, guide
        )
        chunks = chunk.cpu().numpy()
        return EngineOutput(chunks, 1e3 * (middle - begin), 1e3 * (self._clock() - middle))

    def _prepare(self, request: PolicyRequest) -> ByteSample:
        observation = request.observation
        try:
            cameras = {
                name: [_array(name, frame) for frame in frames]
                for name, frames in observation.cameras.items()
            }
            prepare = self._processor.prepare_raw if self._raw else self._processor.prepare_bytes
            return prepare(cameras, observation.state, observation.task)
        except ModalityError as error:
            raise InvalidRequest("observation", "what GetInfo describes", str(error)) from error

    def _draw_noise(self, request: PolicyRequest) -> np.ndarray:
        """Draw a request's noise from its own seed, on the CPU, so that no batch changes it."""
        if request.seed is None:
            raise InvalidRequest("seed", "a seed, which the server draws where none came", "none")
        config = self._network.config
        shape = (config.action_horizon, config.max_action_dim)
        return np.random.default_rng(request.seed).standard_normal(shape, dtype=np.float32)

    def _clock(self) -> float:
        """Read the time in seconds, after a GPU has done what it was given."""
        if self._device.type == "cuda":
            # not the device: another thread may compile, or capture, which that would break
            torch.cuda.current_stream(self._device).synchronize()
        return time.perf_counter()


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Give the weights' type of a name; auto is bfloat16 on a GPU and float32 on a CPU."""
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    if name not in DTYPES:
        raise ModalityError(f"dtype is {name!r}, expected auto, {', '.join(DTYPES)}")
    return DTYPES[name]


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

    device: a torch device, or auto for a GPU where there is one. dtype: float32, bfloat16, or
    auto for bfloat16 on a GPU and float32 on a CPU. tag: the embodiment, where there are several.
    threads: CPU threads of torch in the whole process; None for one where the network is small,
    and what torch chooses where it is not. engine: auto, reference or fast.
    compiled: on a GPU, compile the fast engine's graphs in the background while it answers.
    precision: full for the weights' own, or fp8 for the large layers in FP8, with the scales of
    fp8_scales or of the checkpoint's folder.
    """
    place = choose_device(device)
    checkpoint = load_checkpoint(
        name_or_dir, device=place, dtype=choose_dtype(dtype, place), tokenizer=tokenizer
    )
    checkpoint.network.requires_grad_(False)  # prefixes ask for gradients, of the actions alone
    weights = sum(weight.numel() for weight in checkpoint.network.parameters())
    if threads is not None or weights < ONE_THREAD_WEIGHTS:
        torch.set_num_threads(threads or 1)
    scales = None
    if precision == "fp8":
        path = fp8_scales or checkpoint.folder / SCALES_FILE
        scales = load_scales(path, checkpoint.weights_hash())
    return GrootPolicy(checkpoint, tag, engine, compiled, scales)


def _array(name: str, frame: Frame) -> np.ndarray:
    if isinstance(frame, np.ndarray):
        return frame
    raise InvalidRequest(
        f'observation.cameras["{name}"]', "frames that the server has decoded", "a compressed one"
    )
