"""Rows computed by OpenVINO, where the extra `openvino` is installed: for small networks on a CPU.

The engine's two halves are traced and converted when a policy is loaded, for its cameras' sizes and
any length of instruction; the result is kept in the user's cache. Rows that were not foreseen, and
those that go on from a prefix (they need gradients), are computed by PyTorch.
"""

import hashlib
import os
import shutil
import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from handover_model.engine.chunk import (
    ChunkInput,
    EngineWeights,
    PromptStart,
    Tables,
    denoise,
    observe,
    read_prompt,
)
from handover_model.engine.language import Rotation
from handover_model.engine.layout import Layout
from handover_model.engine.rows import PlainRows, Row
from handover_model.network import Gr00tNetwork

CACHE = Path(".cache", "handover", "openvino")  # in the user's home
VERSION = "1"  # of what is converted: another one makes kept models stale


class ReadHalf(nn.Module):
    """The backbone as a module, for tracing."""

    def __init__(self, weights: EngineWeights, row: Row) -> None:
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

    def __init__(self, weights: EngineWeights, row: Row) -> None:
        super().__init__()
        self.weights, self.row = weights, row

    def forward(self, features: Tensor, state: Tensor, noise: Tensor, *memory: Tensor) -> Tensor:
        """Give a chunk, from what denoise_tensors lists."""
        row, head = self.row, self.weights.head
        start = PromptStart((), memory[0] if memory else None)
        inputs = replace(row.inputs, state=state)
        return denoise(head, observe(head, row.layout, features, inputs, start), noise)


def read_tensors(row: Row) -> list[Tensor]:
    """List what ReadHalf reads."""
    assert row.start is not None
    rotation = row.tables.rotation
    past = [tensor for pair in row.start.past for tensor in pair]
    ids = row.inputs.text_ids
    return [*row.inputs.frames, ids, rotation.cos, rotation.sin, row.tables.visible, *past]


def denoise_tensors(row: Row, features: Tensor) -> list[Tensor]:
    """List what DenoiseHalf reads."""
    memory = row.start.text_memory if row.start is not None else None
    return [features, row.inputs.state, row.noise, *([] if memory is None else [memory])]


class OpenVinoRows:
    """Computes rows of one shape after the start with OpenVINO, all others with PyTorch."""

    def __init__(self, weights: EngineWeights, network: Gr00tNetwork, row: Row) -> None:
        """Convert both halves for rows like this one, or take them from the cache.

        Raises ImportError without the extra, and what OpenVINO raises.
        """
        openvino = import_openvino()
        assert row.start is not None
        self._plain, self._tail = PlainRows(weights), tail(row.layout)
        features = self._plain.read(row)
        places = {
            "read": (ReadHalf(weights, row), read_tensors(row)),
            "denoise": (DenoiseHalf(weights, row), denoise_tensors(row, features)),
        }
        key = _key(network, self._tail, openvino.__version__)
        self._halves = {
            name: _compile(openvino, module, tensors, _start_axes(row, name), f"{name}-{key}")
            for name, (module, tensors) in places.items()
        }

    def read(self, row: Row) -> Tensor:
        """See RowCompute.read."""
        if not self._knows(row):
            return self._plain.read(row)
        return self._run("read", read_tensors(row))

    def denoise(self, row: Row, features: Tensor) -> Tensor:
        """See RowCompute.denoise."""
        if not self._knows(row):
            return self._plain.denoise(row, features)
        return self._run("denoise", denoise_tensors(row, features))

    def _knows(self, row: Row) -> bool:
        return row.guide is None and row.start is not None and tail(row.layout) == self._tail

    def _run(self, half: str, tensors: list[Tensor]) -> Tensor:
        outputs = self._halves[half].infer([tensor.numpy() for tensor in tensors])
        return torch.from_numpy(outputs[0].copy())


def tail(layout: Layout) -> Layout:
    """Give what remains of a layout without its start: rows of one tail share a model."""
    spans = tuple((start - layout.known, stop - layout.known) for start, stop in layout.images)
    return replace(layout, length=layout.length - layout.known, images=spans, known=0)


def import_openvino() -> Any:
    """Import OpenVINO without the package by which it tells its makers that it is used."""
    sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore[reportArgumentType]
    import openvino  # pyright: ignore[reportMissingImports]

    return openvino


def _start_axes(row: Row, half: str) -> list[int | None]:
    """Say along which axis each tensor grows with the instruction; None for those that do not."""
    assert row.start is not None
    if half == "denoise":
        return [None, None, None, *([] if row.start.text_memory is None else [1])]
    fixed = len(row.inputs.frames) + 3
    return [*([None] * fixed), 1, *([2] * (2 * len(row.start.past)))]


def _compile(
    openvino: Any, module: nn.Module, tensors: list[Tensor], axes: list[int | None], name: str
) -> Any:
    """Convert a half, or read it from the cache, and make it ready to run."""
    core = openvino.Core()
    path = Path.home() / CACHE / f"{name}.xml"
    if not path.is_file():
        shapes = [
            openvino.PartialShape([-1 if k == axis else size for k, size in enumerate(t.shape)])
            for t, axis in zip(tensors, axes, strict=True)
        ]
        with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer doubts shapes; they are the layout's
            example = tuple(tensor.clone() for tensor in tensors)
            model = openvino.convert_model(module.eval(), example_input=example, input=shapes)
        _keep(openvino, model, path)
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,
    }
    return core.compile_model(core.read_model(path), "CPU", options).create_infer_request()


def _keep(openvino: Any, model: Any, path: Path) -> None:
    """Write a model into the cache, whole or not at all; the .xml comes last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(dir=path.parent))
    try:
        openvino.save_model(model, half / path.name, compress_to_fp16=False)
        for suffix in (".bin", ".xml"):
            os.replace((half / path.name).with_suffix(suffix), path.with_suffix(suffix))
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _key(network: Gr00tNetwork, layout: Layout, version: str) -> str:
    digest = hashlib.sha256(
        repr((VERSION, version, layout, network.config, network.eagle)).encode()
    )
    for name, weight in network.state_dict().items():
        digest.update(name.encode())
        digest.update(weight.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
