"""Every call that has an operator of ONNX's gives there what it gives in PyTorch."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

onnxruntime = pytest.importorskip("onnxruntime")
from handover_model.engine.cpu.onnx_operators import Unwritable  # noqa: E402
from handover_model.engine.cpu.onnx_recorder import write_model  # noqa: E402

DRAWN = torch.Generator().manual_seed(0)
SHAPES = ((6, 8), (6,), (5, 8), (6, 6))
WEIGHT, BIAS, ROWS, SQUARE = (torch.randn(shape, generator=DRAWN) for shape in SHAPES)

CALLS = {
    "view": lambda x: x.view(2, 3, 2, 4),
    "reshape": lambda x: x.transpose(0, 1).reshape(6, 8),
    "flatten": lambda x: x.flatten(1),
    "unflatten": lambda x: x.unflatten(-1, (4, 2)),
    "expand": lambda x: x[:, :, None].expand(-1, -1, 3, -1),
    "transpose": lambda x: x.transpose(-1, 1),
    "permute": lambda x: x.permute(2, 0, 1),
    "chunk": lambda x: x.chunk(3, dim=-1)[2],
    "split by sizes": lambda x: x.split([1, 2], dim=1)[1],
    "split by one size": lambda x: x.split(3, 2)[2],
    "unbind": lambda x: x.unbind(1)[2],
    "slices": lambda x: x[:, 1:, -5:-2],
    "an ellipsis": lambda x: x[..., :3],
    "new axes": lambda x: x[None, :, None, 1:],
    "cat": lambda x: torch.cat([x, x[:, :1]], dim=1),
    "roll": lambda x: x.roll(3, dims=-1),
    "pad": lambda x: functional.pad(x, (2, 0)),
    "to": lambda x: x.to(torch.float32) + x.to(torch.float64).float(),
    "add": lambda x: torch.add(-1.0, x, alpha=2 / 255) + 0.5 + x,
    "mul": lambda x: x * x * 3,
    "linear of rows": lambda x: functional.linear(x.flatten(0, 1), WEIGHT, BIAS),
    "linear of tokens": lambda x: functional.linear(x, WEIGHT, BIAS),
    "linear without bias": lambda x: functional.linear(x, WEIGHT),
    "addmm": lambda x: torch.addmm(BIAS, x.flatten(0, 1), WEIGHT.t()),
    "addmm of rows": lambda x: torch.addmm(SQUARE, x.flatten(0, 1), WEIGHT.t()),
    "mm": lambda x: torch.mm(x.flatten(0, 1), WEIGHT.t()),
    "attention": lambda x: functional.scaled_dot_product_attention(*[x[None]] * 3),
    "attention with a mask": lambda x: functional.scaled_dot_product_attention(
        x[None], x[None], x[None], attn_mask=x[:, :, :3] * 5
    ),
    "layer norm": lambda x: functional.layer_norm(x, (8,), ROWS[0], ROWS[1], 1e-3),
    "layer norm alone": lambda x: functional.layer_norm(x, (8,), eps=1e-3),
    "rms norm": lambda x: functional.rms_norm(x, (8,), ROWS[0], 1e-3),
    "rms norm alone": lambda x: functional.rms_norm(x, (8,), None, 1e-3),
    "gelu": lambda x: functional.gelu(x, approximate="tanh") + functional.gelu(x),
    "silu": lambda x: functional.silu(x),
    "relu_": lambda x: (x * 1).relu_(),
    "embedding": lambda x: functional.embedding((x * 0).to(torch.int64), ROWS),
    "a mask": lambda x: torch.zeros_like(x).masked_fill(~(x * 1e9).to(torch.bool), float("-inf")),
    "where": lambda x: torch.where((x * 0).to(torch.bool), x, 2 * x),
    "a constant's own calls": lambda x: x + torch.cat([ROWS[:1], ROWS[1:3]]).sqrt().nan_to_num(),
}


class Module(nn.Module):
    """One call as a module."""

    def __init__(self, call):
        super().__init__()
        self.call = call

    def forward(self, *given):
        return self.call(*given)


def session(model):
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", CALLS)
def test_it_is_what_pytorch_gives(name):
    given = torch.randn(2, 3, 8, generator=DRAWN)
    written = session(write_model(Module(CALLS[name]), {"x": given}, {}))
    other = torch.randn(2, 3, 8, generator=DRAWN)  # nothing of the example may have been kept
    (found,) = written.run(None, {"x": other.numpy()})
    np.testing.assert_allclose(found, CALLS[name](other).numpy(), atol=1e-5)


@pytest.mark.parametrize("length", [1, 5, 9])
def test_what_grows_may_be_of_any_length(length):
    def call(x, fixed):
        heads = torch.cat([x, fixed], dim=1).view(2, -1, 2, 4).permute(2, 0, 1, 3)
        return heads[:, :, :, None].expand(-1, -1, -1, 3, -1).flatten(3), x[:, 1:].flatten(0, 1)

    fixed = torch.randn(2, 3, 8, generator=DRAWN)
    example = {"x": torch.randn(2, 5, 8, generator=DRAWN), "fixed": fixed}
    written = session(write_model(Module(call), example, {"x": 1}))
    given = torch.randn(2, length, 8, generator=DRAWN)
    found = written.run(None, {"x": given.numpy(), "fixed": fixed.numpy()})
    for one, want in zip(found, call(given, fixed), strict=True):
        np.testing.assert_array_equal(one, want.numpy())


@pytest.mark.parametrize(
    "call",
    [
        torch.sin,
        lambda x: x[:, ::2],
        lambda x: x[0, 0],
        lambda x: functional.pad(x, (0, 1)),
        lambda x: functional.scaled_dot_product_attention(*[x[None]] * 3, is_causal=True),
    ],
)
def test_what_it_does_not_know_is_refused(call):
    with pytest.raises(Unwritable):
        write_model(Module(call), {"x": torch.ones(2, 3, 8)}, {})
