"""Linear layers in FP8 (e4m3): weights are rounded at load, inputs by calibrated scales.

On a GPU of compute capability 8.9 or later the product itself is computed in FP8; elsewhere the
same rounded numbers are multiplied in float32, which shows the error but saves no time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from handover_model.engine.functional.chunk import EngineWeights
from handover_model.engine.functional.layer_replacement import replace_layers
from handover_model.engine.functional.linear import Dense, Linear, Norm, finish
from handover_model.errors import ModalityError

FP8 = torch.float8_e4m3fn
LARGEST = 448.0  # of e4m3
MULTIPLE = 16  # of both sides of a weight, for the GPU's kernels
SMALLEST = 1e-12  # for a weight of zeros, whose scale must not be zero
CAPABILITY = (8, 9)  # of a GPU that multiplies FP8


@dataclass(frozen=True)
class Fp8Linear:
    """A linear layer whose weight and input are rounded to e4m3, each with one scale."""

    weight: Tensor
    """(out, in): e4m3 on a GPU, elsewhere its numbers in float32"""
    weight_scale: Tensor
    """() float32: the value of 1"""
    input_scale: Tensor
    """() float32"""
    bias: Tensor | None
    """(out,)"""

    def __call__(
        self,
        tokens: Tensor,
        norm: Norm | None = None,
        gelu: bool = False,
        residual: Tensor | None = None,
    ) -> Tensor:
        """See Linear."""
        read = tokens if norm is None else norm(tokens)
        rows = round_to_fp8(read.flatten(0, -2), self.input_scale)
        product = self._multiply(rows, tokens.dtype).view(*tokens.shape[:-1], -1)
        if self.bias is not None:
            product = product + self.bias
        return finish(product, gelu, residual)

    def _multiply(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        if self.weight.dtype == FP8:
            return torch._scaled_mm(  # pyright: ignore[reportPrivateImportUsage]
                rows,
                self.weight.t(),
                scale_a=self.input_scale,
                scale_b=self.weight_scale,
                out_dtype=dtype,
                use_fast_accum=True,
            )
        exact = functional.linear(rows.float(), self.weight)
        return (exact * (self.input_scale * self.weight_scale)).to(dtype)


@dataclass(frozen=True)
class MaxAbsObserver:
    """A linear layer that records the largest absolute value of its inputs."""

    layer: Dense
    largest: Tensor
    """() float32"""

    def __call__(
        self,
        tokens: Tensor,
        norm: Norm | None = None,
        gelu: bool = False,
        residual: Tensor | None = None,
    ) -> Tensor:
        """See Linear."""
        read = tokens if norm is None else norm(tokens)
        self.largest.copy_(torch.maximum(self.largest, read.detach().abs().amax().float()))
        return self.layer(read, None, gelu, residual)


def round_to_fp8(numbers: Tensor, scale: Tensor) -> Tensor:
    """Round to e4m3 in units of `scale`; larger values saturate."""
    return (numbers.float() / scale).clamp(-LARGEST, LARGEST).to(FP8)


def quantize(weights: EngineWeights, largest_inputs: Mapping[str, float]) -> EngineWeights:
    """Round the large layers to FP8; largest_inputs: from calibration, by the layer's name.

    Raises ModalityError if a layer has no such number, or the GPU cannot multiply FP8.
    """
    device = weights.language.embeddings.device
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < CAPABILITY:
        raise ModalityError(
            f"{torch.cuda.get_device_name(device)} does not multiply FP8, which needs compute "
            "capability 8.9 (Ada, Hopper or later); leave --precision fp8 out"
        )

    def change(name: str, layer: Dense) -> Linear:
        if any(size % MULTIPLE for size in layer.weight.shape):
            return layer
        if name not in largest_inputs:
            raise ModalityError(f"the FP8 scales have none for {name}; calibrate again")
        return quantize_layer(layer, largest_inputs[name])

    return replace_layers(weights, change)


def quantize_layer(layer: Dense, largest_input: float) -> Fp8Linear:
    """Round one layer's weight; the largest input becomes the largest number of e4m3."""
    device = layer.weight.device
    weight_scale = layer.weight.abs().amax().float().clamp(min=SMALLEST) / LARGEST
    rounded = round_to_fp8(layer.weight, weight_scale)
    input_scale = torch.tensor(largest_input / LARGEST, dtype=torch.float32, device=device)
    kept = rounded if device.type == "cuda" else rounded.float()
    return Fp8Linear(kept, weight_scale, input_scale, layer.bias)


def observe_inputs(weights: EngineWeights) -> tuple[EngineWeights, dict[str, Tensor]]:
    """Return weights that compute the same, and the largest input of each layer by its name.

    These tensors are updated as chunks are computed.
    """
    seen: dict[str, Tensor] = {}

    def change(name: str, layer: Dense) -> Linear:
        seen[name] = torch.zeros((), device=layer.weight.device)
        return MaxAbsObserver(layer, seen[name])

    return replace_layers(weights, change), seen
