"""The engine of a GPU: every bucket captured at load, and replayed for what fits into it."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from handover_model.engine.buckets import Bucket, find_bucket, make_buckets
from handover_model.engine.inputs import Stack, chunk_input, stack_frames
from handover_model.engine.layout import Layout, find_layout
from handover_model.engine.seam import Chunks
from handover_model.engine.tables import make_tables, take_weights
from handover_model.engine.whole_chunk import WholeChunk, empty_inputs
from handover_model.errors import ModalityError
from handover_model.network import Gr00tNetwork
from handover_model.processor import PreparedSample
from handover_model.real_time_chunking import PrefixGuide

Replay = Callable[[Sequence[Tensor]], Tensor]
Capture = Callable[[WholeChunk, list[Tensor], Any], Replay]


class GraphEngine:
    """Answers batches of known shapes; others, and those with a prefix, are left to the modules.

    A batch is filled up to its bucket by repeating its last row. For one thread.
    """

    name = "fast (CUDA graphs)"

    def __init__(
        self,
        network: Gr00tNetwork,
        embodiment: int,
        pad_token: int,
        probe: PreparedSample,
        largest_batch: int,
        capture: Capture,
        stack: Stack = stack_frames,
    ) -> None:
        """Capture the buckets for frames like the probe's, from its length of instruction on.

        capture: makes something that replays a function: see handover_model.engine.cuda_graph.
        stack: what samples' frames go through: handover_model.engine.device_frames prepares them.
        Raises ModalityError when the probe's prompt has no layout.
        """
        self._network, self._embodiment, self._pad = network, embodiment, pad_token
        self._stack = stack
        shortest = self._layout([probe])
        if shortest is None:
            raise ModalityError("the fast engine finds no layout for this checkpoint's prompts")
        self._weights = take_weights(network, embodiment)
        self.buckets = make_buckets(shortest, largest_batch)
        self._replays: dict[Bucket, Replay] = {}
        pool = None
        for bucket in reversed(self.buckets):  # the largest first: its memory serves all others
            self._replays[bucket] = replay = self._capture(bucket, probe, capture, pool)
            pool = pool or getattr(replay, "pool", None)

    def run(
        self, samples: Sequence[PreparedSample], noise: np.ndarray, guide: PrefixGuide | None = None
    ) -> Chunks | None:
        """Denoise rows (B, horizon, max_action_dim) float32; None for what has no bucket.

        One replay is the whole chunk: all its time is the action head's in the result.
        """
        layout = self._layout(samples) if guide is None else None
        bucket = find_bucket(self.buckets, layout) if layout is not None else None
        if bucket is None:
            return None
        begin = time.perf_counter()
        more = bucket.rows - len(samples)
        filled = [*samples, *[samples[-1]] * more]
        inputs = chunk_input(filled, bucket.layout, self._pad, self._stack)
        real = inputs.real if inputs.real is not None else torch.ones(0)
        noises = torch.from_numpy(np.concatenate([noise, np.repeat(noise[-1:], more, axis=0)]))
        given = [inputs.text_ids, real, inputs.state, noises, *inputs.frames]
        if torch.cuda.is_available():
            given = [tensor if tensor.is_cuda else tensor.pin_memory() for tensor in given]
        chunks = self._replays[bucket](given)[: len(samples)].cpu().numpy()
        return Chunks(chunks, 0.0, 1e3 * (time.perf_counter() - begin))

    def _capture(
        self, bucket: Bucket, probe: PreparedSample, capture: Capture, pool: Any
    ) -> Replay:
        network, config = self._network, self._network.config
        layout, head = bucket.layout, network.action_head
        chunk = WholeChunk(self._weights, layout, make_tables(network, layout)).eval()
        inputs = empty_inputs(
            layout,
            network.eagle.pixels_per_token,
            (probe.state.shape[0], config.max_state_dim),
            (config.action_horizon, config.max_action_dim),
            head.action_encoder.W1.W.device,
            head.dtype,
        )
        with torch.no_grad():
            return capture(chunk, inputs, pool)

    def _layout(self, samples: Sequence[PreparedSample]) -> Layout | None:
        """Give a batch's layout; None when its frames differ or it is another embodiment's."""
        eagle = self._network.eagle
        grids = {tuple(sample.grids(eagle.pixels_per_token)) for sample in samples}
        if len(grids) != 1 or any(sample.embodiment != self._embodiment for sample in samples):
            return None
        rows = [sample.input_ids for sample in samples]
        return find_layout(rows, grids.pop(), eagle.image_token_index)
