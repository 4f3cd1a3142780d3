"""Kernel selection: the layers of a bucket that our Triton kernels compute faster, by measurement.

On a GPU with Triton. Every kernel is timed beside what it would replace, on the bucket's own number
of rows and in the type of its weights; a kernel that fails or is slower is left out. The result is
then compiled, captured and checked against the plain graph like any other chunk.

The choices are kept from start to start beside the compiled code: kernels of about the same speed
would otherwise win in turn, and the compiler would not find its code again.
"""

import json
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from handover_common import write_text
from torch import Tensor

from handover_model.engine.cuda.background_compiler import (
    Function,
    compile_whole,
    keep_compiled,
    name_platform,
)
from handover_model.engine.cuda.chunk_module import ChunkModule
from handover_model.engine.cuda.cuda_graph import CapturedChunk
from handover_model.engine.fp8.linear import Fp8Linear
from handover_model.engine.functional.layer_replacement import replace_layers
from handover_model.engine.functional.linear import AttentionFn, Dense, Linear, Norm, mix

logger = logging.getLogger(__name__)

MOST_ROWS = 128  # in one block of skinny_linear; larger products are fast in libraries
# (outputs, inputs, splits, warps, stages): enough programs for 132 multiprocessors at widths of
# 1536 to 6144, with and without splitting; narrow ones first
CUTS = ((16, 128, 1, 4, 4), (32, 128, 1, 4, 4), (32, 128, 4, 4, 4), (64, 64, 4, 8, 4))

Cut = tuple[int, ...]
Known = dict[tuple[str | int, ...], Cut | None]
"""By shape and type: the fastest cut, or None for the library"""

WHOLE: Cut = ()  # for attention, whose kernel has only one cut

Clock = Callable[[Callable[[], Tensor]], float]


@dataclass(frozen=True)
class SkinnyLinear:
    """A linear layer computed by Triton together with the operations around it."""

    layer: Dense | Fp8Linear
    cut: Cut

    def __call__(
        self,
        tokens: Tensor,
        norm: Norm | None = None,
        gelu: bool = False,
        residual: Tensor | None = None,
    ) -> Tensor:
        """See Linear; for at most MOST_ROWS rows."""
        from handover_model.engine.cuda.triton_kernels.skinny_linear import skinny_linear

        layer = self.layer
        if norm is not None and norm.weight.ndim > 1:  # the kernel knows one scale for all tokens
            tokens, norm = norm(tokens), None
        rounded = isinstance(layer, Fp8Linear)
        return skinny_linear(
            tokens.contiguous(),
            layer.weight,
            layer.bias,
            None if norm is None else norm.weight,
            None if norm is None else norm.bias,
            0.0 if norm is None else norm.eps,
            gelu,
            None if residual is None else residual.contiguous(),
            layer.input_scale if rounded else None,
            layer.weight_scale if rounded else None,
            list(self.cut),
        )


def mix_small(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Attend by the kernel for few queries; see functional.linear.AttentionFn."""
    from handover_model.engine.cuda.triton_kernels.small_attention import small_attention

    return small_attention(query, key, value, mask)


class KernelCompiler:
    """Compiles chunks with the faster kernels, or without them where that fails.

    Later starts take the choices of the first, on this GPU with this PyTorch.
    """

    def __init__(self) -> None:
        self._wanted = find_spec("triton") is not None

    def __call__(self, function: Function, inputs: Sequence[Tensor]) -> Function:
        """See background_compiler.Compile."""
        if self._wanted and isinstance(function, ChunkModule) and inputs[0].is_cuda:
            _, _, state, noise, *_ = inputs
            tokens = state.shape[1] + noise.shape[1]
            try:
                place = state.device
                path = keep_compiled(place) / f"kernels-{name_platform(place)}.json"
                known = read_choices(path, (*CUTS, WHOLE))
                count = len(known)
                chunk = use_kernels(function, tokens, clock_on_gpu, known)
                if len(known) > count:
                    write_choices(known, path)
                return compile_whole(chunk, inputs)
            except Exception as error:  # Triton's and the compiler's have no common class
                self._wanted = False
                reason = str(error).strip().partition("\n")[0]
                logger.warning("chunks are compiled without kernels of ours: %s", reason)
        return compile_whole(function, inputs)


def use_kernels(chunk: ChunkModule, tokens: int, clock: Clock, known: Known) -> ChunkModule:
    """Put kernels where they are faster; `tokens`: how many the head computes for a chunk.

    known: choices for other buckets, extended by those for this one.
    """
    weights, batch = chunk.weights, chunk.layout.batch
    if batch * tokens <= MOST_ROWS:

        def change(name: str, layer: Dense | Fp8Linear) -> Linear:
            if not name.startswith("head.blocks."):
                return layer
            role = name.rpartition(".")[2]
            return _faster_linear(role, layer, batch * tokens, weights.head.dtype, clock, known)

        weights = replace_layers(weights, change, (Dense, Fp8Linear))
    head, vision = weights.head, weights.vision
    size = head.encode_out.shape[0] // head.heads
    seen = chunk.tables.positions[0]
    own = _faster_mix((batch, head.heads, tokens, size), head.encode_out, clock, known)
    patches = (batch, vision.heads, seen.shape[0], seen.shape[1] // vision.heads)
    weights = replace(
        weights,
        head=replace(head, mix=own),
        vision=replace(vision, mix=_faster_mix(patches, seen, clock, known)),
    )
    return ChunkModule(weights, chunk.layout, chunk.tables, chunk.continues).eval()


def _faster_linear(
    role: str,
    layer: Dense | Fp8Linear,
    rows: int,
    dtype: torch.dtype,
    clock: Clock,
    known: Known,
) -> Linear:
    outputs, width = layer.weight.shape
    key = (role, rows, outputs, width, str(layer.weight.dtype))
    if key not in known:
        tokens = torch.ones(rows, width, dtype=dtype, device=layer.weight.device)
        norm, gelu, residual = _surroundings(role, tokens, outputs)
        found: dict[Cut | None, float] = {None: clock(lambda: layer(tokens, norm, gelu, residual))}
        for cut in CUTS:
            kernel = SkinnyLinear(layer, cut)
            _try(found, cut, partial(kernel, tokens, norm, gelu, residual), clock)
        known[key] = min(found, key=lambda cut: found[cut])
    chosen = known[key]
    return layer if chosen is None else SkinnyLinear(layer, chosen)


def _faster_mix(shape: tuple[int, ...], like: Tensor, clock: Clock, known: Known) -> AttentionFn:
    key = ("mix", *shape, str(like.dtype))
    if key not in known:
        tokens = torch.ones(shape, dtype=like.dtype, device=like.device)
        found: dict[Cut | None, float] = {None: clock(lambda: mix(tokens, tokens, tokens, None))}
        _try(found, WHOLE, lambda: mix_small(tokens, tokens, tokens, None), clock)
        known[key] = min(found, key=lambda cut: found[cut])
    return mix if known[key] is None else mix_small


def _surroundings(
    role: str, tokens: Tensor, outputs: int
) -> tuple[Norm | None, bool, Tensor | None]:
    """Return the head's operations around a layer: see action_head.predict_velocity."""
    if role in ("project", "up"):
        norm = Norm(torch.ones_like(tokens[0]), torch.zeros_like(tokens[0]), 1e-5)
        return norm, role == "up", None
    return None, False, tokens.new_ones(tokens.shape[0], outputs)


def _try(found: dict[Cut | None, float], cut: Cut, run: Callable[[], Tensor], clock: Clock) -> None:
    """Time a kernel; one that this GPU or this Triton cannot build is not a candidate."""
    try:
        found[cut] = clock(run)
    except Exception as error:  # Triton's own errors have no common class
        logger.debug("no kernel cut %s: %s", cut, error)


def clock_on_gpu(run: Callable[[], Tensor]) -> float:
    """Return the median time of a call on the GPU, in milliseconds.

    In a graph, as it will run: Python takes longer to start a Triton kernel than the kernel to run.
    """
    from triton.testing import do_bench  # pyright: ignore[reportMissingImports]

    nothing = torch.zeros(1, device="cuda")
    captured = CapturedChunk(lambda _: run(), [nothing])
    return do_bench(lambda: captured([nothing]), return_mode="median")


def read_choices(path: Path, cuts: Collection[Cut]) -> Known:
    """Read an earlier start's choices among these cuts; none if the file is missing or damaged."""
    try:
        found = {
            tuple(key): None if cut is None else tuple(cut)
            for key, cut in json.loads(path.read_text(encoding="utf-8"))
        }
    except (OSError, TypeError, ValueError):
        return {}
    return {key: cut for key, cut in found.items() if cut is None or cut in cuts}


def write_choices(known: Known, path: Path) -> None:
    """Write the choices atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(list(known.items())) + "\n")
