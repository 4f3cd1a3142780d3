"""GPU engine: captures every bucket as a CUDA graph at load, and replays them for batches."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from handover_model.engine.cuda.background_compiler import (
    TURN,
    BackgroundCompiler,
    Compile,
    Function,
    Job,
)
from handover_model.engine.cuda.buckets import Bucket, find_bucket, make_buckets
from handover_model.engine.cuda.chunk_module import ChunkModule, empty_inputs, random_inputs
from handover_model.engine.functional.chunk import EngineWeights
from handover_model.engine.functional.inputs import StackFramesFn, chunk_input, stack_frames
from handover_model.engine.functional.tables import make_tables, take_weights
from handover_model.engine.functional.token_layout import TokenLayout, find_layout
from handover_model.engine.interface import EngineOutput
from handover_model.engine.reference import check_alike
from handover_model.errors import ModalityError
from handover_model.network.groot import Gr00tNetwork
from handover_model.network.real_time_chunking import CleanPrefix, Prefix, PrefixGuide, no_prefix
from handover_model.processing.samples import ByteSample, RawSample

logger = logging.getLogger(__name__)

Replay = Callable[[Sequence[Tensor]], Tensor]
Capture = Callable[[Function, list[Tensor], Any], Replay]


@dataclass(frozen=True)
class Captured:
    """A captured bucket."""

    chunk: ChunkModule
    inputs: list[Tensor]
    """Static: the graph reads them at these addresses"""
    replay: Replay


class CudaGraphEngine:
    """Computes batches of known shapes; others, and guided ones, are left to the modules.

    Where the network has learnt to continue a prefix, all graphs read one, which may be empty. A
    batch is filled up to its bucket's size by repeating its last row. For one thread.
    """

    name = "fast (CUDA graphs)"

    def __init__(
        self,
        network: Gr00tNetwork,
        embodiment: int,
        pad_token: int,
        probe: ByteSample,
        largest_batch: int,
        capture: Capture,
        stack: StackFramesFn = stack_frames,
        weights: EngineWeights | None = None,
        precision: torch.dtype | None = None,
        *,
        continues: bool = False,
    ) -> None:
        """Capture the buckets for frames like the probe's, from its length of instruction on.

        capture: makes a replay of a function: see handover_model.engine.cuda.cuda_graph. stack:
        joins samples' frames; handover_model.engine.cuda.image_resize also prepares them. weights:
        in place of the network's own; precision: of these, if not the network's. continues: the
        network has learnt to continue a prefix. Raises ModalityError when the probe's prompt has no
        layout, or a graph disagrees with its function.
        """
        self._network, self._embodiment, self._pad = network, embodiment, pad_token
        self._continues = continues
        self._stack, self.prepares_frames = stack, isinstance(probe, RawSample)
        shortest = self.layout([probe])
        if shortest is None:
            raise ModalityError("the fast engine finds no layout for this checkpoint's prompts")
        self.weights = weights or take_weights(network, embodiment)
        self.buckets = make_buckets(shortest, largest_batch)
        self.precision = precision or network.action_head.dtype
        self._capture, self._pool = capture, None
        self.compiler: BackgroundCompiler | None = None
        self._captured: dict[Bucket, Captured] = {}
        with TURN:
            for bucket in reversed(self.buckets):  # the largest first: its memory serves all others
                self._captured[bucket] = self._capture_plain(bucket, probe.state.shape[0])
        self.compiled: set[Bucket] = set()

    def run(
        self, samples: Sequence[ByteSample], noise: np.ndarray, prefix: Prefix | None = None
    ) -> EngineOutput | None:
        """Denoise (B, horizon, max_action_dim) float32; None for a batch without a bucket.

        One replay is the whole chunk: its duration counts as the action head's.
        """
        known = prefix is None or (self._continues and isinstance(prefix, CleanPrefix))
        layout = self.layout(samples) if known else None
        bucket = find_bucket(self.buckets, layout) if layout is not None else None
        if bucket is None:
            return None
        begin = time.perf_counter()
        more = bucket.rows - len(samples)
        filled = [*samples, *[samples[-1]] * more]
        inputs = chunk_input(filled, bucket.layout, self._pad, self._stack)
        assert inputs.real is not None  # the buckets' layouts are padded
        noises = torch.from_numpy(np.concatenate([noise, np.repeat(noise[-1:], more, axis=0)]))
        given = [inputs.text_ids, inputs.real, inputs.state, noises]
        if self._continues:
            assert not isinstance(prefix, PrefixGuide)
            given += _filled(prefix or no_prefix(torch.from_numpy(noise)), more)
        given += inputs.frames
        if torch.cuda.is_available():
            given = [tensor if tensor.is_cuda else tensor.pin_memory() for tensor in given]
        chunks = self._captured[bucket].replay(given)[: len(samples)].cpu().numpy()
        return EngineOutput(chunks, 0.0, 1e3 * (time.perf_counter() - begin))

    def compile(self, compile_one: Compile) -> None:
        """Start compiling the buckets in the background, the smallest first."""
        work = [(bucket, self._captured[bucket]) for bucket in self.buckets]
        jobs = [Job(bucket, captured.chunk, captured.inputs) for bucket, captured in work]
        self.compiler = BackgroundCompiler(jobs, compile_one)

    @property
    def compiling(self) -> bool:
        """Whether graphs are being compiled, and none has failed."""
        return self.compiler is not None

    def run_idle_work(self) -> None:
        """Replace one bucket's graph by its compiled version, if one is ready and agrees.

        In the policy's thread, between two batches; if another policy holds the lock, it is tried
        again after the next batch. Once one fails, the rest stay as they are.
        """
        if self.compiler is None or not TURN.acquire(blocking=False):
            return
        try:
            self._take_over(self.compiler)
        finally:
            TURN.release()

    def _take_over(self, compiler: BackgroundCompiler) -> None:
        ready = compiler.take()
        if ready is None:
            return
        bucket, function = ready
        try:
            if isinstance(function, Exception):
                raise function
            self._captured[bucket] = self._capture_compiled(bucket, function)
        except Exception as error:  # compiler, driver or a difference: the graph stays
            self.compiler = None
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            count, of = len(self.compiled), len(self.buckets)
            logger.warning("%d of %d graphs are compiled, no more: %s", count, of, reason)
            return
        compiler.go_on()
        self.compiled.add(bucket)
        if len(self.compiled) == len(self.buckets):
            logger.info("all %d graphs are compiled", len(self.buckets))

    def _capture_plain(self, bucket: Bucket, state_steps: int) -> Captured:
        network, config = self._network, self._network.config
        layout, head = bucket.layout, network.action_head
        chunk = ChunkModule(
            self.weights, layout, make_tables(network, layout), self._continues
        ).eval()
        inputs = empty_inputs(
            layout,
            network.eagle.pixels_per_token,
            (state_steps, config.max_state_dim),
            (config.action_horizon, config.max_action_dim),
            head.action_encoder.W1.W.device,
            head.dtype,
            self._continues,
        )
        captured = Captured(chunk, inputs, self._capture_one(chunk, inputs))
        self._check(bucket, captured.replay, lambda given: chunk(*given), inputs)
        return captured

    def _capture_compiled(self, bucket: Bucket, function: Function) -> Captured:
        former = self._captured[bucket]
        fresh = replace(former, replay=self._capture_one(function, former.inputs))
        self._check(bucket, fresh.replay, former.replay, former.inputs)
        return fresh

    def _capture_one(self, function: Function, inputs: list[Tensor]) -> Replay:
        with torch.inference_mode(False), torch.no_grad():  # as the compiler ran it
            captured = self._capture(function, inputs, self._pool)
        self._pool = self._pool or getattr(captured, "pool", None)
        return captured

    def _check(self, bucket: Bucket, new: Replay, old: Replay, inputs: Sequence[Tensor]) -> None:
        """Compare a new replay with what it stands for; raises ModalityError."""
        given = random_inputs(inputs, self.weights.language.embeddings.shape[0])
        with torch.no_grad():
            got, want = (replay(given).float().cpu().numpy() for replay in (new, old))
        check_alike(got, want, self.precision, f"two computations of {bucket}")

    def layout(self, samples: Sequence[ByteSample]) -> TokenLayout | None:
        """Return a batch's layout; None when its frames differ or it is another embodiment's."""
        eagle = self._network.eagle
        grids = {tuple(sample.grids(eagle.pixels_per_token)) for sample in samples}
        if len(grids) != 1 or any(sample.embodiment != self._embodiment for sample in samples):
            return None
        rows = [sample.input_ids for sample in samples]
        return find_layout(rows, grids.pop(), eagle.image_token_index)


def _filled(prefix: CleanPrefix, more: int) -> list[Tensor]:
    """Return a batch's target and clean steps, with the last row `more` times again."""
    parts = (prefix.target, prefix.clean)
    return [torch.cat([part, part[-1:].expand(more, *part.shape[1:])]) for part in parts]
