"""Whether int8 weights would make a CPU at least twice as fast, and what they do to actions.

    python -m benchmarks.inference.int8 [--rounds 5]        (extra serve; OpenVINO where installed)

The products of one block's linear layers at the published sizes are computed one after another in
float32 and with int8 weights (rows are quantized as they come): by PyTorch, ONNX Runtime and, where
it is installed, OpenVINO. One thread each; all ways take turns within a round, so that other work
hits all alike; CPU seconds. Actions: the shipped checkpoint's, its converted models quantized by
ONNX Runtime, beside the reference path.
"""

import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnxruntime
import torch
import tyro
from handover_conversion import ConvertConfig, convert
from handover_model.checkpoints import load_checkpoint
from handover_model.engine.cpu.engine import CpuEngine
from handover_model.engine.cpu.onnx import OnnxBackend
from handover_model.engine.reference import ReferenceEngine, compare
from handover_model.policy import GrootPolicy
from handover_training.calibrate.run import read_observations
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

from benchmarks.harness.machine import OthersAtWork
from benchmarks.harness.result_file import write_result

Call = Callable[[np.ndarray], Any]
OBSERVATIONS = 32


@dataclass(frozen=True)
class Block:
    """Linear layers of one block: widths in order, tokens, and how often a chunk computes it."""

    tokens: int
    widths: tuple[tuple[int, int], ...]
    times: int


# the published network's: 4 denoising steps of 32 blocks, 51 tokens (horizon 50), one camera
BLOCKS = {
    "action head": Block(51, ((1536, 4608), (1536, 1536), (1536, 6144), (6144, 1536)), 4 * 32),
    "language": Block(300, ((2048, 4096), (2048, 2048), (2048, 12288), (6144, 2048)), 16),
    "vision": Block(324, ((1152, 3456), (1152, 1152), (1152, 4304), (4304, 1152)), 27),
}


@dataclass(frozen=True)
class Int8Trial:
    """Try int8 weights."""

    rounds: int = 5
    """How often each way computes each block, after one round that is not counted"""
    checkpoint: Path = Path("checkpoints/aloha-mini")
    recordings: Path = Path("tests/data/held_out_transfer_cube")
    """LeRobot dataset for the checkpoint's actions"""
    name: str = "int8"
    """The result goes to benchmarks/results/NAME.json"""


def main(config: Int8Trial) -> Path:
    """Time the blocks, compare the actions; returns the file of the figures."""
    torch.set_num_threads(1)
    others = OthersAtWork()
    blocks = {name: _time(block, config.rounds) for name, block in BLOCKS.items()}
    ways = next(iter(blocks.values()))
    chunk_s = {
        way: round(sum(BLOCKS[name].times * row[way] / 1e3 for name, row in blocks.items()), 3)
        for way in ways
    }
    fastest_float = min(seconds for way, seconds in chunk_s.items() if "float32" in way)
    result = {
        "what": "linear layers of one block of the published sizes, CPU ms on one thread (median); "
        "chunk_s: of all blocks of a chunk",
        "rounds": config.rounds,
        "block_ms": blocks,
        "chunk_s": chunk_s,
        "times_as_fast_as_float32": {
            way: round(fastest_float / seconds, 2) for way, seconds in chunk_s.items()
        },
        "actions_of_int8_beside_the_reference": _actions(config.checkpoint, config.recordings),
        "other_processes_cores": others.cores(),
        "openvino": _openvino_version(),
    }
    print(result)
    return write_result(config.name, result)


def _time(block: Block, rounds: int) -> dict[str, float]:
    """CPU ms of a block by way; the ways take turns."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, w[0] ** -0.5, w).astype(np.float32) for w in block.widths]
    inputs = [rng.normal(0, 1, (block.tokens, w[0])).astype(np.float32) for w in block.widths]
    with tempfile.TemporaryDirectory() as folder:
        ways = {**_torch_ways(weights), **_onnx_ways(weights, Path(folder))}
        ways |= _openvino_ways(weights)
        exact = [given @ weight for given, weight in zip(inputs, weights, strict=True)]
        for way, calls in ways.items():
            for call, given, right in zip(calls, inputs, exact, strict=True):
                _check(way, call(given), right)
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, calls in ways.items():
                began_s = time.process_time()
                for call, given in zip(calls, inputs, strict=True):
                    call(given)
                taken[way].append(1e3 * (time.process_time() - began_s))
    return {way: round(statistics.median(ms), 2) for way, ms in taken.items()}


def _check(way: str, found: Any, right: np.ndarray) -> None:
    """Raise SystemExit where a way computes another product."""
    found = np.asarray(found, np.float32).ravel()
    cosine = float(found @ right.ravel() / np.linalg.norm(found) / np.linalg.norm(right))
    if cosine < 0.999:
        raise SystemExit(f"{way}: cosine {cosine:.4f} to the product in float32")


def _torch_ways(weights: list[np.ndarray]) -> dict[str, list[Call]]:
    """PyTorch, which computes large networks in the product, in both of its types."""

    def layers(dtype: torch.dtype) -> list[Call]:
        made: list[Call] = []
        for weight in weights:
            linear = nn.Linear(*weight.shape, bias=False, dtype=dtype)
            linear.weight.data = torch.from_numpy(weight.T.copy()).to(dtype)
            made.append(lambda x, linear=linear: _no_grad(linear, torch.from_numpy(x).to(dtype)))
        return made

    return {
        "PyTorch float32": layers(torch.float32),
        "PyTorch bfloat16": layers(torch.bfloat16),
        "PyTorch int8": [_torch_int8(weight) for weight in weights],
    }


def _torch_int8(weight: np.ndarray) -> Call:
    """PyTorch's own product of rows that are quantized as they come."""
    rows = torch.from_numpy(weight.T.copy())
    scales = rows.abs().amax(1).double() / 127  # of each output
    zeros = torch.zeros(len(rows), dtype=torch.long)
    rounded = torch.quantize_per_channel(rows, scales, zeros, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(rounded, None)

    def call(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return torch.ops.quantized.linear_dynamic(torch.from_numpy(x), packed, True).numpy()

    return call


def _no_grad(linear: nn.Linear, given: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return linear(given).float().numpy()


def _onnx_ways(weights: list[np.ndarray], folder: Path) -> dict[str, list[Call]]:
    plain, rounded = [], []
    for number, weight in enumerate(weights):
        path, quantized = folder / f"{number}.onnx", folder / f"{number}_int8.onnx"
        onnx.save(_product(weight), path)
        quantize_dynamic(path, quantized, weight_type=QuantType.QInt8, per_channel=True)
        plain.append(_session(path.read_bytes()))
        rounded.append(_session(quantized.read_bytes()))
    return {"ONNX Runtime float32": plain, "ONNX Runtime int8": rounded}


def _product(weight: np.ndarray) -> onnx.ModelProto:
    """Return the model of a linear layer."""
    node = helper.make_node("MatMul", ["x", "weight"], ["y"])
    shape = ["tokens", weight.shape[0]], ["tokens", weight.shape[1]]
    graph = helper.make_graph(
        [node],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape[0])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape[1])],
        [numpy_helper.from_array(weight, "weight")],
    )
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _session(model: bytes) -> Call:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})[0]


def _openvino_ways(weights: list[np.ndarray]) -> dict[str, list[Call]]:
    """OpenVINO, whose int8 weights are decompressed inside a product of quantized rows."""
    if _openvino_version() is None:
        return {}
    import openvino
    from openvino import opset13 as ops

    core = openvino.Core()

    def compiled(weight: np.ndarray, rounded: bool) -> Call:
        given = ops.parameter([-1, weight.shape[0]], np.float32)
        if rounded:
            scale = np.abs(weight).max(axis=0) / 127  # of each output
            numbers = np.round(weight / scale).astype(np.int8).T.copy()
            exact = ops.convert(ops.constant(numbers), np.float32)
            factor = ops.multiply(exact, ops.constant(scale[:, None].astype(np.float32)))
        else:
            factor = ops.constant(weight.T.copy())
        model = openvino.Model([ops.matmul(given, factor, False, True)], [given])
        more = {"DYNAMIC_QUANTIZATION_GROUP_SIZE": "32"} if rounded else {}
        wanted = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32", **more}
        request = core.compile_model(model, "CPU", wanted).create_infer_request()
        return lambda x: next(iter(request.infer([x]).values()))

    return {
        "OpenVINO float32": [compiled(weight, False) for weight in weights],
        "OpenVINO int8": [compiled(weight, True) for weight in weights],
    }


def _openvino_version() -> str | None:
    try:
        import openvino
    except ImportError:
        return None
    return openvino.__version__.partition("-")[0]


def _actions(checkpoint: Path, recordings: Path) -> dict[str, float]:
    """Distance of the shipped checkpoint's chunks with int8 products from the reference path's."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder, "dataset")
        convert(ConvertConfig(str(recordings), dataset))
        loaded = load_checkpoint(checkpoint, device="cpu", dtype=torch.float32)
        loaded.network.requires_grad_(False)
        policy = GrootPolicy(loaded)
        samples, _ = read_observations(dataset, policy.processor, OBSERVATIONS)
    processor, config = policy.processor, policy.network.config
    slot = processor.config.embodiment_ids[processor.tag]
    engine = CpuEngine(policy.network, slot, processor.tokenizer.pad_token)
    example = engine.example(policy.probe())
    assert example is not None, "the shipped checkpoint is one that ONNX Runtime computes"
    with mock.patch.object(onnxruntime, "InferenceSession", _Int8Session):
        engine.use_backend(OnnxBackend(engine.weights, example), "int8")
    exact = ReferenceEngine(policy.network, processor)
    shape = (1, config.action_horizon, config.max_action_dim)
    rng, chunks = np.random.default_rng(0), []
    for sample in samples:
        noise = rng.standard_normal(shape, dtype=np.float32)
        chunks.append([each.run([sample], noise).chunks for each in (engine, exact)])
    found, right = (np.concatenate(each) for each in zip(*chunks, strict=True))
    agreement = compare(found, right)
    return {
        "chunks": len(chunks),
        "cosine": agreement.cosine,
        "mean": float(np.abs(found - right).mean()),
        "largest": agreement.difference,
    }


class _Int8Session(onnxruntime.InferenceSession):
    """A session of the model that dynamic quantization makes of the one given."""

    def __init__(self, model: bytes, *more: Any, **named: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.onnx")
            path.write_bytes(model)
            rounded = Path(folder, "int8.onnx")
            quantize_dynamic(path, rounded, weight_type=QuantType.QInt8, per_channel=True)
            found = Counter(node.op_type for node in onnx.load(rounded).graph.node)
            if not found["MatMulInteger"]:
                raise SystemExit(f"no product of the converted model became int8: {found}")
            print(f"products in int8: {found['MatMulInteger']}, others: {found['MatMul']}")
            super().__init__(rounded.read_bytes(), *more, **named)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(main(tyro.cli(Int8Trial)))
