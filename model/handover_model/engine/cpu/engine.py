"""CPU engine: computes requests one by one, so that none depends on its batch."""

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
from handover_model.engine.interface import EngineOutput
from handover_model.network.groot import Gr00tNetwork
from handover_model.network.real_time_chunking import Prefix, PrefixGuide, no_prefix
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
    prefix: Prefix | None = None


class CpuBackend(Protocol):
    """Computes a request in its two halves."""

    def read(self, request: CpuRequest) -> Tensor:
        """Run the backbone: features of the tokens after the start, (1, tokens, hidden)."""
        ...

    def denoise(self, request: CpuRequest, features: Tensor) -> Tensor:
        """Run the action head: a chunk, (1, horizon, max_action_dim) float32."""
        ...


@dataclass(frozen=True)
class TorchBackend:
    """Computes requests with PyTorch."""

    weights: EngineWeights

    def read(self, request: CpuRequest) -> Tensor:
        """See CpuBackend.read."""
        return read_prompt(
            self.weights, request.layout, request.tables, request.inputs, request.start
        )

    def denoise(self, request: CpuRequest, features: Tensor) -> Tensor:
        """See CpuBackend.denoise."""
        head = self.weights.head
        observed = observe(head, request.layout, features, request.inputs, request.start)
        return denoise(head, observed, request.noise, request.prefix)


class CpuEngine:
    """Computes each sample by itself, at its own length, with its instruction's start kept.

    The caches do not change a chunk, and they are bounded: KEPT_LAYOUTS tables and KEPT_STARTS
    starts of instructions.
    """

    prepares_frames = False

    def __init__(
        self,
        network: Gr00tNetwork,
        embodiment: int,
        pad_token: int,
        weights: EngineWeights | None = None,
        precision: torch.dtype | None = None,
        *,
        continues: bool = False,
    ) -> None:
        """Take a network's weights; most stay shared with it.

        weights: in place of the network's own. Requests with a PrefixGuide, which need gradients
        through them, are then left to the modules. precision: of these weights, if not the
        network's. continues: the network has learnt to continue a prefix.
        """
        self._network, self._embodiment, self._pad = network, embodiment, pad_token
        self.weights = weights or take_weights(network, embodiment)
        self.precision = precision or network.action_head.dtype
        self._takes_guides, self._continues = weights is None, continues
        self._device = network.action_head.action_encoder.W1.W.device
        self.starts = PromptStarts(self.weights, network.backbone.model.language_model)
        self.tables: OrderedDict[TokenLayout, Tables] = OrderedDict()
        self._backend: CpuBackend = TorchBackend(self.weights)
        self.name = "fast"

    def run(
        self, samples: Sequence[ByteSample], noise: np.ndarray, prefix: Prefix | None = None
    ) -> EngineOutput | None:
        """Denoise (B, horizon, max_action_dim) float32; None if a sample has no layout."""
        if isinstance(prefix, PrefixGuide) and not self._takes_guides:
            return None
        layouts = [self._layout(sample) for sample in samples]
        chunks: list[np.ndarray] = []
        backbone_s = head_s = 0.0
        for place, (sample, layout) in enumerate(zip(samples, layouts, strict=True)):
            if layout is None:
                return None
            begin = time.perf_counter()
            own_noise = torch.from_numpy(noise[place : place + 1]).to(self._device)
            own_prefix = prefix and prefix.row(place).to(self._device)
            request = self._request(sample, layout, own_noise, own_prefix)
            features = self._backend.read(request)
            middle = time.perf_counter()
            chunks.append(self._backend.denoise(request, features)[0].cpu().numpy())
            backbone_s += middle - begin
            head_s += time.perf_counter() - middle
        return EngineOutput(np.stack(chunks), 1e3 * backbone_s, 1e3 * head_s)

    def example(self, sample: ByteSample) -> CpuRequest | None:
        """Return a sample's request with noise of zeros, to convert a backend by its shapes."""
        layout = self._layout(sample)
        if layout is None:
            return None
        config = self._network.config
        noise = torch.zeros(1, config.action_horizon, config.max_action_dim, device=self._device)
        prefix = no_prefix(noise) if self._continues else None
        return self._request(sample, layout, noise, prefix)

    def use_backend(self, backend: CpuBackend, name: str) -> None:
        """Compute by another backend than plain PyTorch, under this name."""
        self._backend, self.name = backend, name

    def _request(
        self,
        sample: ByteSample,
        layout: TokenLayout,
        noise: Tensor,
        prefix: Prefix | None = None,
    ) -> CpuRequest:
        start = self.starts.get(start_ids(sample, layout)) if layout.known else None
        inputs = move(
            chunk_input([sample], layout, self._pad), self._device, self.weights.head.dtype
        )
        return CpuRequest(layout, self._tables_of(layout), inputs, noise, start, prefix)

    def _layout(self, sample: ByteSample) -> TokenLayout | None:
        if sample.embodiment != self._embodiment:
            return None
        eagle = self._network.eagle
        grids = sample.grids(eagle.pixels_per_token)
        found = find_layout([sample.input_ids], grids, eagle.image_token_index)
        return found and split_start(found)

    def _tables_of(self, layout: TokenLayout) -> Tables:
        if layout not in self.tables:
            with torch.inference_mode(False):  # a request with a prefix asks for gradients
                self.tables[layout] = make_tables(self._network, layout)
            if len(self.tables) > KEPT_LAYOUTS:
                self.tables.popitem(last=False)
        self.tables.move_to_end(layout)
        return self.tables[layout]
