"""ONNX's operators for what the engine's functions call of PyTorch, for one sample.

PyTorch's own exporter is general, and takes a second of every start; this table knows only these
calls, with the arguments that they are given. Anything else raises Unwritable.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from onnx import GraphProto, ValueInfoProto, helper, numpy_helper
from torch import Tensor

OPSET = 20  # the first with GELU's tanh form
IR_VERSION = 9  # of files with that opset

END = 2**63 - 1  # of an axis that is cut, however long

Shape = tuple[int, ...]
"""-1 at an axis that grows with the instruction"""


class Unwritable(Exception):
    """A call that this table does not know, or not with these arguments."""


@dataclass(frozen=True)
class Call:
    """One recorded call. It keeps its tensors: their ids are their names."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[Tensor, ...]


@dataclass(frozen=True)
class Results:
    """What a call's results look like."""

    shapes: Sequence[Shape]
    dtype: torch.dtype


class Graph:
    """An ONNX graph as it grows; a tensor that no call has given is a constant of it."""

    def __init__(self) -> None:
        self._graph = GraphProto(name="chunk")
        self._names: dict[int, str] = {}
        self._constants: list[Tensor] = []  # kept, as their ids are their names

    def add_input(self, name: str, tensor: Tensor, shape: Shape) -> None:
        """Add an input."""
        self._names[id(tensor)] = name
        self._graph.input.append(_describe(name, tensor, shape))

    def add_output(self, tensor: Tensor, shape: Shape) -> None:
        """Add an output; whatever else reads the tensor keeps its name."""
        name = self.node("Identity", tensor)
        self._graph.output.append(_describe(name, tensor, shape))

    def add(self, call: Call, shapes: Sequence[Shape]) -> None:
        """Add a call, whose results have these shapes. Raises Unwritable."""
        if call.name not in _OPERATORS:
            raise Unwritable(f"{call.name} has no operator of ONNX's here")
        results = Results(shapes, call.results[0].dtype)
        written = _OPERATORS[call.name](self, results, *call.args, **call.kwargs)
        names = [written] if isinstance(written, str) else written
        for result, name in zip(call.results, names, strict=True):
            self._names[id(result)] = name

    def node(self, operator: str, *inputs: Tensor | str, **attributes: Any) -> str:
        """Add an operator and return its output's name; inputs: tensors, or names."""
        return self.nodes(operator, 1, *inputs, **attributes)[0]

    def nodes(
        self, operator: str, outputs: int, *inputs: Tensor | str, **attributes: Any
    ) -> list[str]:
        """Add an operator of several outputs and return their names."""
        names = [f"{operator}_{len(self._graph.node)}_{place}" for place in range(outputs)]
        given = [each if isinstance(each, str) else self.name(each) for each in inputs]
        self._graph.node.append(helper.make_node(operator, given, names, **attributes))
        return names

    def name(self, tensor: Tensor) -> str:
        """Return a tensor's name."""
        if id(tensor) not in self._names:
            name = self._names[id(tensor)] = f"constant_{len(self._constants)}"
            self._constants.append(tensor)
            self._graph.initializer.append(numpy_helper.from_array(tensor.numpy(), name))
        return self._names[id(tensor)]

    def model(self) -> bytes:
        """Return the model as a file's bytes."""
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(self._graph, opset_imports=opsets, ir_version=IR_VERSION)
        return model.SerializeToString()


def _describe(name: str, tensor: Tensor, shape: Shape) -> ValueInfoProto:
    sizes = [None if size < 0 else size for size in shape]
    return helper.make_tensor_value_info(name, _type(tensor.dtype), sizes)


def _type(dtype: torch.dtype) -> int:
    """Return ONNX's number for a type."""
    return helper.np_dtype_to_tensor_dtype(torch.empty(0, dtype=dtype).numpy().dtype)


def _numbers(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


def _reshape(graph: Graph, to: Results, tokens: Tensor, *_: Any) -> str:
    if to.shapes[0].count(-1) > 1:
        raise Unwritable(f"a shape {to.shapes[0]}")
    return graph.node("Reshape", tokens, _numbers(*to.shapes[0]))


def _expand(graph: Graph, to: Results, tokens: Tensor, *_: Any) -> str:
    return graph.node("Expand", tokens, _numbers(*(max(size, 1) for size in to.shapes[0])))


def _permute(graph: Graph, to: Results, tokens: Tensor, *axes: int) -> str:
    return graph.node("Transpose", tokens, perm=axes)


def _transpose(graph: Graph, to: Results, tokens: Tensor, one: int, other: int) -> str:
    axes = list(range(tokens.ndim))
    axes[one], axes[other] = axes[other], axes[one]
    return graph.node("Transpose", tokens, perm=axes)


def _split(graph: Graph, to: Results, tokens: Tensor, _: Any, dim: int = 0) -> list[str]:
    """Write chunk and split, of which the results' shapes say how."""
    sizes = _numbers(*(shape[dim] for shape in to.shapes))
    return graph.nodes("Split", len(to.shapes), tokens, sizes, axis=dim)


def _unbind(graph: Graph, to: Results, tokens: Tensor, dim: int = 0) -> list[str]:
    ones = _numbers(*(1 for _ in to.shapes))
    parts = graph.nodes("Split", len(to.shapes), tokens, ones, axis=dim)
    return [graph.node("Squeeze", part, _numbers(dim)) for part in parts]


def _index(graph: Graph, to: Results, tokens: Tensor, index: Any) -> str:
    """Write slices, and None for new axes."""
    parts = index if isinstance(index, tuple) else (index,)
    axis, found = 0, graph.name(tokens)
    for part in parts:
        if part is Ellipsis:
            axis += tokens.ndim - sum(isinstance(each, slice) for each in parts)
        elif isinstance(part, slice):
            if part.step not in (None, 1):
                raise Unwritable(f"an index {part}")
            if part != slice(None):
                stop = END if part.stop is None else part.stop
                found = _cut(graph, found, axis, part.start or 0, stop)
            axis += 1
        elif part is not None:
            raise Unwritable(f"an index {part}")
    return graph.node("Reshape", found, _numbers(*to.shapes[0])) if None in parts else found


def _cut(graph: Graph, tokens: Tensor | str, axis: int, start: int, stop: int) -> str:
    return graph.node("Slice", tokens, _numbers(start), _numbers(stop), _numbers(axis))


def _cat(graph: Graph, to: Results, parts: Sequence[Tensor], dim: int = 0) -> str:
    return graph.node("Concat", *parts, axis=dim)


def _roll(graph: Graph, to: Results, tokens: Tensor, shifts: int, dims: int) -> str:
    size = tokens.shape[dims]
    last = _cut(graph, tokens, dims, size - shifts, size)
    return graph.node("Concat", last, _cut(graph, tokens, dims, 0, size - shifts), axis=dims)


def _pad(graph: Graph, to: Results, tokens: Tensor, pad: tuple[int, ...], **_: Any) -> str:
    """Write zeros before the last axis."""
    before, after = pad
    if after:
        raise Unwritable("padding at an end")
    return graph.node("Concat", tokens.new_zeros(*tokens.shape[:-1], before), tokens, axis=-1)


def _cast(graph: Graph, to: Results, tokens: Tensor, *_: Any) -> str:
    return graph.node("Cast", tokens, to=_type(to.dtype))


def _add(graph: Graph, to: Results, one: Any, other: Any, alpha: float = 1) -> str:
    added = _tensor(other, to.dtype)
    if alpha != 1:
        added = graph.node("Mul", added, torch.tensor(alpha, dtype=to.dtype))
    return graph.node("Add", _tensor(one, to.dtype), added)


def _linear(
    graph: Graph, to: Results, tokens: Tensor, weight: Tensor, bias: Tensor | None = None
) -> str:
    if tokens.ndim == 2:
        return graph.node("Gemm", tokens, weight, *([] if bias is None else [bias]), transB=1)
    product = graph.node("MatMul", tokens, weight.t())
    return product if bias is None else graph.node("Add", product, bias)


def _addmm(graph: Graph, to: Results, bias: Tensor, tokens: Tensor, weight: Tensor) -> str:
    return graph.node("Gemm", tokens, weight, bias)


def _attention(
    graph: Graph,
    to: Results,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
) -> str:
    if is_causal or (attn_mask is not None and attn_mask.dtype != query.dtype):
        raise Unwritable("attention with such a mask")
    product = graph.node("MatMul", query, graph.node("Transpose", key, perm=[0, 1, 3, 2]))
    scale = torch.tensor(1 / math.sqrt(query.shape[-1]), dtype=query.dtype)
    scores = graph.node("Mul", product, scale)
    seen = scores if attn_mask is None else graph.node("Add", scores, attn_mask)
    return graph.node("MatMul", graph.node("Softmax", seen, axis=-1), value)


def _layer_norm(
    graph: Graph,
    to: Results,
    tokens: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> str:
    weight = tokens.new_ones(*normalized_shape) if weight is None else weight
    given = [weight] if bias is None else [weight, bias]
    axis = -len(normalized_shape)
    return graph.node("LayerNormalization", tokens, *given, axis=axis, epsilon=eps)


def _rms_norm(
    graph: Graph,
    to: Results,
    tokens: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> str:
    """Write the norm of the last axis, which this opset does not have."""
    if len(normalized_shape) > 1 or eps is None:
        raise Unwritable("an RMS norm of several axes, or without eps")
    square = graph.node("Pow", tokens, torch.tensor(2, dtype=to.dtype))
    mean = graph.node("ReduceMean", square, _numbers(-1), keepdims=1)
    root = graph.node("Sqrt", graph.node("Add", mean, torch.tensor(eps, dtype=to.dtype)))
    normed = graph.node("Div", tokens, root)
    return normed if weight is None else graph.node("Mul", normed, weight)


def _gelu(graph: Graph, to: Results, tokens: Tensor, approximate: str = "none") -> str:
    return graph.node("Gelu", tokens, approximate=approximate)


def _silu(graph: Graph, to: Results, tokens: Tensor, **_: Any) -> str:
    return graph.node("Mul", tokens, graph.node("Sigmoid", tokens))


def _embedding(graph: Graph, to: Results, ids: Tensor, weight: Tensor, **_: Any) -> str:
    return graph.node("Gather", weight, ids)


def _zeros_like(graph: Graph, to: Results, tokens: Tensor, **_: Any) -> str:
    zero = numpy_helper.from_array(torch.zeros(1, dtype=to.dtype).numpy())
    return graph.node("ConstantOfShape", graph.node("Shape", tokens), value=zero)


def _masked_fill(graph: Graph, to: Results, tokens: Tensor, mask: Tensor, value: float) -> str:
    return graph.node("Where", mask, torch.tensor(value, dtype=to.dtype), tokens)


def _plain(operator: str) -> "Operator":
    """Write a call as the operator of the same arguments, of which some are numbers."""
    return lambda graph, to, *args: graph.node(
        operator, *(_tensor(each, to.dtype) for each in args)
    )


def _tensor(value: Any, dtype: torch.dtype) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=dtype)


Operator = Callable[..., str | list[str]]
"""Adds a call to a graph, given what its results look like, and its own arguments"""

_OPERATORS: dict[str, Operator] = {
    "view": _reshape,
    "reshape": _reshape,
    "flatten": _reshape,
    "unflatten": _reshape,
    "expand": _expand,
    "transpose": _transpose,
    "permute": _permute,
    "chunk": _split,
    "split": _split,
    "unbind": _unbind,
    "__getitem__": _index,
    "cat": _cat,
    "roll": _roll,
    "pad": _pad,
    "to": _cast,
    "float": _cast,
    "add": _add,
    "mul": _plain("Mul"),
    "linear": _linear,
    "addmm": _addmm,
    "mm": _plain("MatMul"),
    "scaled_dot_product_attention": _attention,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "gelu": _gelu,
    "silu": _silu,
    "relu_": _plain("Relu"),
    "embedding": _embedding,
    "zeros_like": _zeros_like,
    "__invert__": _plain("Not"),
    "masked_fill": _masked_fill,
    "where": _plain("Where"),
}
