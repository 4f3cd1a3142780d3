"""ONNX models of modules, from the calls of PyTorch that they make with example inputs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from handover_model.engine.cpu.onnx_operators import Call, Graph, Shape, Unwritable


class Recorder(TorchFunctionMode):
    """Keeps the calls that depend on the inputs, in order; what others give is constant."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self._known = set(map(id, inputs))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Make a call, and keep it."""
        given = kwargs or {}
        result = func(*args, **given)
        results = tuple(_tensors((result,)))
        if results and any(id(each) in self._known for each in _tensors((*args, *given.values()))):
            self.calls.append(Call(func.__name__, args, given, results))
            self._known.update(map(id, results))
        return result


def write_model(module: nn.Module, inputs: Mapping[str, Tensor], grown: Mapping[str, int]) -> bytes:
    """Write a module as an ONNX model whose inputs have these names, types and shapes.

    grown: of some inputs, the axis that may be longer or shorter than here, all by the same number.
    Raises Unwritable for calls that onnx_operators does not know.
    """
    longer = {
        name: torch.cat([tensor, tensor.narrow(grown[name], 0, 1)], grown[name])
        if name in grown
        else tensor
        for name, tensor in inputs.items()
    }
    # what has another shape when the inputs are longer has an axis that grows with them
    (calls, outputs), (calls2, outputs2) = (_record(module, each) for each in (inputs, longer))
    if [call.name for call in calls] != [call.name for call in calls2]:
        raise Unwritable("what is called depends on an input's length")
    graph = Graph()
    for name, tensor in inputs.items():
        graph.add_input(name, tensor, _shape(tensor, longer[name]))
    for call, call2 in zip(calls, calls2, strict=True):
        graph.add(call, [_shape(*pair) for pair in zip(call.results, call2.results, strict=True)])
    for tensor, tensor2 in zip(outputs, outputs2, strict=True):
        graph.add_output(tensor, _shape(tensor, tensor2))
    return graph.model()


def _record(module: nn.Module, inputs: Mapping[str, Tensor]) -> tuple[list[Call], list[Tensor]]:
    given = list(inputs.values())
    with torch.inference_mode(False), torch.no_grad(), Recorder(given) as recorder:
        output = module(*given)
    return recorder.calls, list(_tensors((output,)))


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)


def _shape(tensor: Tensor, longer: Tensor) -> Shape:
    pairs = zip(tensor.shape, longer.shape, strict=True)
    return tuple(size if size == other else -1 for size, other in pairs)
