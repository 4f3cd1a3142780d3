"""The engine of a CPU: rows are computed one by one, so that none depends on its batch."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from handover_model.engine.functional.chunk import (
    ChunkInput,
    EngineWeights,
    PromptStart,
    Tables,
    denoise,
    observe,
    read_prompt,
)
from handover_model.engine.functional.inputs import chunk_input, move, start_ids
from handover_model.engine.functional.prompt_kv_cache import PromptStarts, split_start
from handover_model.engine.functional.tables import make_tables, take_weights
from handover_model.engine.functional.token_layout import TokenLayout, find_layout
from handover_model.engine.interface import EngineOutput, choose_sampler
from handover_model.network.groot import Gr00tNetwork
from handover_model.network.real_time_chunking import PrefixGuide
from handover_model.processing.samples import ByteSample

KEPT_LAYOUTS = 32  # one for each length of instruction and size of frames


@dataclass(frozen=True)
class CpuRequest:
    """One request as it is computed."""

    layout: TokenLayout
    tables: Tables
    inputs: ChunkInput
    noise: Tensor
    """(1, horizon, max_action_dim) float32"""
    start: PromptStart | None
    guide: PrefixGuide | None = None


class CpuBackend(Protocol):
    """Computes a row in its two halves."""

    def read(self, row: CpuRequest) -> Tensor:
        """Run the backbone: features of the tokens after the start, (1, tokens, hidden)."""
        ...

    def denoise(self, row: CpuRequest, features: Tensor) -> Tensor:
        """Run the action head: a chunk, (1, horizon, max_action_dim) float32."""
        ...


@dataclass(frozen=True)
class TorchBackend:
    """Computes rows with PyTorch."""

    weights: EngineWeights

    def read(self, row: CpuRequest) -> Tensor:
        """See RowCompute.read."""
        return read_prompt(self.weights, row.layout, row.tables, row.inputs, row.start)

    def denoise(self, row: CpuRequest, features: Tensor) -> Tensor:
        """See RowCompute.denoise."""
        head = self.weights.head
        observed = observe(head, row.layout, features, row.inputs, row.start)
        return denoise(head, observed, row.noise, choose_sampler(row.guide))


class CpuEngine:
    """Computes each sample by itself, at its own length, with its instruction's start kept.

    What is kept does not change an answer, and there are bounds to it: KEPT_LAYOUTS tables and
    KEPT_STARTS starts of instructions.
    """

    def __init__(
        self,
        network: Gr00tNetwork,
        embodiment: int,
        pad_token: int,
        weights: EngineWeights | None = None,
    ) -> None:
        """Take a network's weights; most stay shared with it.

        weights: in place of the network's own. Requests with a prefix, which need gradients through
        them, are then left to the modules.
        """
        self._network, self._embodiment, self._pad = network, embodiment, pad_token
        self.weights = weights or take_weights(network, embodiment)
        self._takes_guides = weights is None
        self._device = network.action_head.action_encoder.W1.W.device
        language = network.backbone.model.language_model
        self._starts = PromptStarts(self.weights, language)
        self._tables: OrderedDict[TokenLayout, Tables] = OrderedDict()
        self._compute: CpuBackend = TorchBackend(self.weights)
        self.name = "fast"

    def run(
        self, samples: Sequence[ByteSample], noise: np.ndarray, guide: PrefixGuide | None = None
    ) -> EngineOutput | None:
        """Denoise rows (B, horizon, max_action_dim) float32; None where one has no layout."""
        if guide is not None and not self._takes_guides:
            return None
        layouts = [self._layout(sample) for sample in samples]
        rows: list[np.ndarray] = []
        backbone_s = head_s = 0.0
        for place, (sample, layout) in enumerate(zip(samples, layouts, strict=True)):
            if layout is None:
                return None
            begin = time.perf_counter()
            start = self._start(sample, layout)
            inputs = move(
                chunk_input([sample], layout, self._pad), self._device, self.weights.head.dtype
            )
            own_noise = torch.from_numpy(noise[place : place + 1]).to(self._device)
            own_guide = guide and guide.row(place).to(self._device)
            row = CpuRequest(layout, self._table(layout), inputs, own_noise, start, own_guide)
            features = self._compute.read(row)
            middle = time.perf_counter()
            rows.append(self._compute.denoise(row, features)[0].cpu().numpy())
            backbone_s += middle - begin
            head_s += time.perf_counter() - middle
        return EngineOutput(np.stack(rows), 1e3 * backbone_s, 1e3 * head_s)

    def first_row(self, sample: ByteSample) -> CpuRequest | None:
        """Give a sample's row with noise of zeros, for who wants to see what rows look like."""
        layout = self._layout(sample)
        if layout is None:
            return None
        inputs = move(
            chunk_input([sample], layout, self._pad), self._device, self.weights.head.dtype
        )
        config = self._network.config
        noise = torch.zeros(1, config.action_horizon, config.max_action_dim, device=self._device)
        return CpuRequest(layout, self._table(layout), inputs, noise, self._start(sample, layout))

    def compute_by(self, compute: CpuBackend, name: str) -> None:
        """Leave the computing to something else than plain PyTorch."""
        self._compute, self.name = compute, name

    def _layout(self, sample: ByteSample) -> TokenLayout | None:
        if sample.embodiment != self._embodiment:
            return None
        eagle = self._network.eagle
        grids = sample.grids(eagle.pixels_per_token)
        found = find_layout([sample.input_ids], grids, eagle.image_token_index)
        return found and split_start(found)

    def _start(self, sample: ByteSample, layout: TokenLayout) -> PromptStart | None:
        return self._starts.get(start_ids(sample, layout)) if layout.known else None

    def _table(self, layout: TokenLayout) -> Tables:
        if layout not in self._tables:
            with torch.inference_mode(False):  # a request with a prefix asks for gradients
                self._tables[layout] = make_tables(self._network, layout)
            if len(self._tables) > KEPT_LAYOUTS:
                self._tables.popitem(last=False)
        self._tables.move_to_end(layout)
        return self._tables[layout]
