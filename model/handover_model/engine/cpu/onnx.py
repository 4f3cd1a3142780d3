"""ONNX Runtime backend of the CPU engine, for small networks, where PyTorch's calls cost too much.

The engine's two halves are traced and converted when a policy is loaded, for its cameras' sizes and
any length of instruction; nothing is kept on disk. Where the policy has learnt to continue a
prefix, the second half reads one, which may be empty. Requests of other sizes, and those that are
guided to a prefix (they need gradients), are computed by PyTorch.
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
from handover_model.network.real_time_chunking import CleanPrefix, no_prefix

OPSET = 20  # the first with GELU's tanh form, the last that PyTorch's tracing exporter writes
WARNING = 2  # ONNX Runtime's level; it warns about machines that it cannot inspect
FLOAT = 1  # ONNX's number for float32


class ReadHalf(nn.Module):
    """The backbone as a module, for tracing."""

    def __init__(self, weights: EngineWeights, request: CpuRequest) -> None:
        super().__init__()
        self.weights, self.request = weights, request

    def forward(self, *tensors: Tensor) -> Tensor:
        """Return features, from the tensors of read_tensors."""
        request = self.request
        images = len(request.inputs.frames)
        frames, (ids, cos, sin, visible, *past) = tensors[:images], tensors[images:]
        start = PromptStart(tuple(zip(past[::2], past[1::2], strict=True)), None)
        tables = Tables(Rotation(cos, sin), request.tables.positions, visible)
        inputs = ChunkInput(frames, ids, None, request.inputs.state)
        return read_prompt(self.weights, request.layout, tables, inputs, start)


class DenoiseHalf(nn.Module):
    """The action head as a module, for tracing."""

    def __init__(self, weights: EngineWeights, request: CpuRequest) -> None:
        super().__init__()
        self.weights, self.request = weights, request

    def forward(self, features: Tensor, state: Tensor, noise: Tensor, *more: Tensor) -> Tensor:
        """Return a chunk, from the tensors of denoise_tensors."""
        request, head = self.request, self.weights.head
        prefix = None
        if isinstance(request.prefix, CleanPrefix):
            prefix, more = CleanPrefix(*more[:2]), more[2:]
        start = PromptStart((), more[0] if more else None)
        inputs = replace(request.inputs, state=state)
        return denoise(head, observe(head, request.layout, features, inputs, start), noise, prefix)


def read_tensors(request: CpuRequest) -> dict[str, Tensor]:
    """List ReadHalf's inputs; those that grow with the instruction are named after their axis."""
    assert request.start is not None
    frames = {f"frame{place}": frame for place, frame in enumerate(request.inputs.frames)}
    rotation = request.tables.rotation
    pasts = [tensor for pair in request.start.past for tensor in pair]
    return {
        **frames,
        "ids": request.inputs.text_ids,
        "cos": rotation.cos,
        "sin": rotation.sin,
        "axis1_visible": request.tables.visible,
        **{f"axis2_past{place}": past for place, past in enumerate(pasts)},
    }


def denoise_tensors(request: CpuRequest, features: Tensor) -> dict[str, Tensor]:
    """List DenoiseHalf's inputs, named as in read_tensors."""
    memory = request.start.text_memory if request.start is not None else None
    given = {"features": features, "state": request.inputs.state, "noise": request.noise}
    if isinstance(request.prefix, CleanPrefix):
        given |= {"target": request.prefix.target, "clean": request.prefix.clean}
    return given if memory is None else {**given, "axis1_memory": memory}


class OnnxBackend:
    """Computes requests of one shape after the start with ONNX Runtime, all others with PyTorch."""

    def __init__(self, weights: EngineWeights, request: CpuRequest) -> None:
        """Convert both halves for requests like this one; raises what the libraries raise."""
        assert request.start is not None
        self._plain, self._tail = TorchBackend(weights), tail(request.layout)
        self._continues = isinstance(request.prefix, CleanPrefix)
        features = self._plain.read(request)
        self._read = _convert(ReadHalf(weights, request), read_tensors(request))
        self._denoise = _convert(DenoiseHalf(weights, request), denoise_tensors(request, features))

    def read(self, request: CpuRequest) -> Tensor:
        """See CpuBackend.read."""
        if not self._knows(request):
            return self._plain.read(request)
        return _run(self._read, read_tensors(request))

    def denoise(self, request: CpuRequest, features: Tensor) -> Tensor:
        """See CpuBackend.denoise."""
        if not self._knows(request):
            return self._plain.denoise(request, features)
        if self._continues and request.prefix is None:
            request = replace(request, prefix=no_prefix(request.noise))
        return _run(self._denoise, denoise_tensors(request, features))

    def _knows(self, request: CpuRequest) -> bool:
        if request.start is None:
            return False
        if request.prefix is not None and not (
            self._continues and isinstance(request.prefix, CleanPrefix)
        ):
            return False
        return tail(request.layout) == self._tail


def tail(layout: TokenLayout) -> TokenLayout:
    """Return a layout without its start: requests with the same tail share a converted model."""
    spans = tuple((start - layout.known, stop - layout.known) for start, stop in layout.images)
    return replace(layout, length=layout.length - layout.known, images=spans, known=0)


def _convert(module: nn.Module, tensors: dict[str, Tensor]) -> onnxruntime.InferenceSession:
    """Trace a half and load it for as many threads as PyTorch has."""
    register_custom_op_symbolic("aten::rms_norm", _write_rms_norm, OPSET)
    torch._C._jit_set_onnx_log_output_stream("stderr")  # a graph on which it fails
    written = io.BytesIO()
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer doubts shapes; the layout fixes them
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
    # its threads would spin between two requests
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        written.getvalue(), options, providers=["CPUExecutionProvider"]
    )


def _run(session: onnxruntime.InferenceSession, tensors: dict[str, Tensor]) -> Tensor:
    given = {name: tensor.numpy() for name, tensor in tensors.items()}
    (output,) = session.run(None, given)
    return torch.from_numpy(output)


def _write_rms_norm(graph: Any, tokens: Any, _shape: Any, weight: Any, eps: Any) -> Any:
    """Export the RMS norm of the last axis, unknown to the exporter, as basic operators."""
    two = graph.op("Constant", value_t=torch.tensor(2.0))
    last = graph.op("Constant", value_t=torch.tensor([-1]))
    mean = graph.op("ReduceMean", graph.op("Pow", tokens, two), last, keepdims_i=1)
    shifted = graph.op("Add", mean, graph.op("Cast", eps, to_i=FLOAT))
    normed = graph.op("Div", tokens, graph.op("Sqrt", shifted))
    return normed if weight.node().mustBeNone() else graph.op("Mul", normed, weight)
