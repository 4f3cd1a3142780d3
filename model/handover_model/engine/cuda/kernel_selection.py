"""Which layers of a bucket are computed by kernels of ours: those that are faster, by a clock.

On a GPU with Triton. Every kernel is tried beside what it would replace, on the bucket's own number
of rows and in the type of its weights; a kernel that fails or is slower is left out. What is chosen
is then compiled, captured and held against the plain graph like any other chunk.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor

from handover_model.engine.cuda.background_compiler import (
    Function,
    compile_whole,
    keep_compiled,
    name_platform,
)
from handover_model.engine.cuda.chunk_module import ChunkModule
from handover_model.engine.cuda.cuda_graph import CapturedChunk
from handover_model.engine.cuda.kernel_choices import Cut, Known, read_choices, write_choices
from handover_model.engine.fp8.linear import Fp8Linear
from handover_model.engine.functional.layer_replacement import replace_layers
from handover_model.engine.functional.linear import AttentionFn, Dense, Linear, Norm, mix

logger = logging.getLogger(__name__)

MOST_ROWS = 128  # in one block of thin_kernel; more are a product that libraries do well
# (outputs, inputs, splits, warps, stages): enough programs for 132 multiprocessors at widths of
# 1536 to 6144, with and without splitting; narrow ones first
CUTS = ((16, 128, 1, 4, 4), (32, 128, 1, 4, 4), (32, 128, 4, 4, 4), (64, 64, 4, 8, 4))

WHOLE: Cut = ()  # of attention, whose kernel has one cut

Clock = Callable[[Callable[[], Tensor]], float]


@dataclass(frozen=True)
class SkinnyLinear:
    """A linear layer that Triton computes together with what stands around it."""

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
    """Attend by the kernel for few queries; see linear.Mix."""
    from handover_model.engine.cuda.triton_kernels.small_attention import small_attention

    return small_attention(query, key, value, mask)


class KernelCompiler:
    """Compiles chunks with the kernels that are faster, or without where that fails.

    What a start finds to be faster is what later ones take, on this GPU with this PyTorch.
    """

    def __init__(self) -> None:
        self._wanted = find_spec("triton") is not None

    def __call__(self, function: Function, inputs: Sequence[Tensor]) -> Function:
        """See compiling.Compile."""
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
    """Put kernels where they are faster: `tokens` is how many the head computes for a chunk.

    known: what was found for other buckets, and is found for this one.
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
    return ChunkModule(weights, chunk.layout, chunk.tables).eval()


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
    """Say what the head's blocks put around a layer: see head.predict_velocity."""
    if role in ("project", "up"):
        norm = Norm(torch.ones_like(tokens[0]), torch.zeros_like(tokens[0]), 1e-5)
        return norm, role == "up", None
    return None, False, tokens.new_ones(tokens.shape[0], outputs)


def _try(found: dict[Cut | None, float], cut: Cut, run: Callable[[], Tensor], clock: Clock) -> None:
    """Time a kernel; one that this GPU or this Triton cannot build is no candidate."""
    try:
        found[cut] = clock(run)
    except Exception as error:  # Triton's own errors have no common class
        logger.debug("no kernel cut %s: %s", cut, error)


def clock_on_gpu(run: Callable[[], Tensor]) -> float:
    """Give the median time of a call on the GPU, in milliseconds.

    In a graph, as it will run: Python takes longer to start a kernel of Triton than that to run.
    """
    from triton.testing import do_bench  # pyright: ignore[reportMissingImports]

    nothing = torch.zeros(1, device="cuda")
    captured = CapturedChunk(lambda _: run(), [nothing])
    return do_bench(lambda: captured([nothing]), return_mode="median")
