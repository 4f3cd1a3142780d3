"""Rows computed by ONNX Runtime: for small networks on a CPU, where PyTorch's calls cost too much.

The engine's two halves are traced and converted when a policy is loaded, for its cameras' sizes and
any length of instruction; nothing is kept on disk. Rows that were not foreseen, and those that go
on from a prefix (they need gradients), are computed by PyTorch.
"""

import io
import warnings
from dataclasses import replace
from typing import Any

import onnxruntime
import torch
from torch import Tensor, nn
from torch.onnx import register_custom_op_symbolic  # pyright: ignore[reportPrivateImportUsage]

from handover_model.engine.cpu.engine import CpuRequest, TorchBackend
from handover_model.engine.functional.chunk import (
    ChunkInput,
    EngineWeights,
    PromptStart,
    Tables,
    denoise,
    observe,
    read_prompt,
)
from handover_model.engine.functional.language import Rotation
from handover_model.engine.functional.token_layout import TokenLayout

OPSET = 20  # the first with GELU's tanh form, the last that PyTorch's tracing exporter writes
WARNING = 2  # ONNX Runtime's levels; it warns of machines that it cannot look into
FLOAT = 1  # ONNX's number of float32


class ReadHalf(nn.Module):
    """The backbone as a module, for tracing."""

    def __init__(self, weights: EngineWeights, row: CpuRequest) -> None:
        super().__init__()
        self.weights, self.row = weights, row

    def forward(self, *tensors: Tensor) -> Tensor:
        """Give features, from what read_tensors lists."""
        row = self.row
        images = len(row.inputs.frames)
        frames, (ids, cos, sin, visible, *past) = tensors[:images], tensors[images:]
        start = PromptStart(tuple(zip(past[::2], past[1::2], strict=True)), None)
        tables = Tables(Rotation(cos, sin), row.tables.positions, visible)
        inputs = ChunkInput(frames, ids, None, row.inputs.state)
        return read_prompt(self.weights, row.layout, tables, inputs, start)


class DenoiseHalf(nn.Module):
    """The action head as a module, for tracing."""

    def __init__(self, weights: EngineWeights, row: CpuRequest) -> None:
        super().__init__()
        self.weights, self.row = weights, row

    def forward(self, features: Tensor, state: Tensor, noise: Tensor, *memory: Tensor) -> Tensor:
        """Give a chunk, from what denoise_tensors lists."""
        row, head = self.row, self.weights.head
        start = PromptStart((), memory[0] if memory else None)
        inputs = replace(row.inputs, state=state)
        return denoise(head, observe(head, row.layout, features, inputs, start), noise)


def read_tensors(row: CpuRequest) -> dict[str, Tensor]:
    """List what ReadHalf reads; what grows with the instruction is named after its axis."""
    assert row.start is not None
    frames = {f"frame{place}": frame for place, frame in enumerate(row.inputs.frames)}
    rotation = row.tables.rotation
    pasts = [tensor for pair in row.start.past for tensor in pair]
    return {
        **frames,
        "ids": row.inputs.text_ids,
        "cos": rotation.cos,
        "sin": rotation.sin,
        "axis1_visible": row.tables.visible,
        **{f"axis2_past{place}": past for place, past in enumerate(pasts)},
    }


def denoise_tensors(row: CpuRequest, features: Tensor) -> dict[str, Tensor]:
    """List what DenoiseHalf reads, named as in read_tensors."""
    memory = row.start.text_memory if row.start is not None else None
    given = {"features": features, "state": row.inputs.state, "noise": row.noise}
    return given if memory is None else {**given, "axis1_memory": memory}


class OnnxBackend:
    """Computes rows of one shape after the start with ONNX Runtime, all others with PyTorch."""

    def __init__(self, weights: EngineWeights, row: CpuRequest) -> None:
        """Convert both halves for rows like this one; raises what the libraries raise."""
        assert row.start is not None
        self._plain, self._tail = TorchBackend(weights), tail(row.layout)
        features = self._plain.read(row)
        self._read = _convert(ReadHalf(weights, row), read_tensors(row))
        self._denoise = _convert(DenoiseHalf(weights, row), denoise_tensors(row, features))

    def read(self, row: CpuRequest) -> Tensor:
        """See RowCompute.read."""
        if not self._knows(row):
            return self._plain.read(row)
        return _run(self._read, read_tensors(row))

    def denoise(self, row: CpuRequest, features: Tensor) -> Tensor:
        """See RowCompute.denoise."""
        if not self._knows(row):
            return self._plain.denoise(row, features)
        return _run(self._denoise, denoise_tensors(row, features))

    def _knows(self, row: CpuRequest) -> bool:
        return row.guide is None and row.start is not None and tail(row.layout) == self._tail


def tail(layout: TokenLayout) -> TokenLayout:
    """Give what remains of a layout without its start: rows of one tail share a model."""
    spans = tuple((start - layout.known, stop - layout.known) for start, stop in layout.images)
    return replace(layout, length=layout.length - layout.known, images=spans, known=0)


def _convert(module: nn.Module, tensors: dict[str, Tensor]) -> onnxruntime.InferenceSession:
    """Trace a half and make it ready to run with as many threads as PyTorch has."""
    register_custom_op_symbolic("aten::rms_norm", _write_rms_norm, OPSET)
    torch._C._jit_set_onnx_log_output_stream("stderr")  # a graph that it fails on
    written = io.BytesIO()
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer doubts shapes; they are the layout's
        torch.onnx.export(
            module.eval(),
            tuple(tensor.clone() for tensor in tensors.values()),
            written,  # pyright: ignore[reportArgumentType] (a file as well as a path)
            input_names=list(tensors),
            dynamic_axes={
                name: {int(name[len("axis")]): "start" if name != "axis1_visible" else "all"}
                for name in tensors
                if name.startswith("axis")
            },
            opset_version=OPSET,
            dynamo=False,
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = WARNING + 1
    # between two requests its threads would wait by running
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        written.getvalue(), options, providers=["CPUExecutionProvider"]
    )


def _run(session: onnxruntime.InferenceSession, tensors: dict[str, Tensor]) -> Tensor:
    given = {name: tensor.numpy() for name, tensor in tensors.items()}
    (output,) = session.run(None, given)
    return torch.from_numpy(output)


def _write_rms_norm(graph: Any, tokens: Any, _shape: Any, weight: Any, eps: Any) -> Any:
    """Write the RMS norm of the last axis, which the exporter does not know, in parts."""
    two = graph.op("Constant", value_t=torch.tensor(2.0))
    last = graph.op("Constant", value_t=torch.tensor([-1]))
    mean = graph.op("ReduceMean", graph.op("Pow", tokens, two), last, keepdims_i=1)
    shifted = graph.op("Add", mean, graph.op("Cast", eps, to_i=FLOAT))
    normed = graph.op("Div", tokens, graph.op("Sqrt", shifted))
    return normed if weight.node().mustBeNone() else graph.op("Mul", normed, weight)
