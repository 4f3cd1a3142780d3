"""Whole chunks of the published sizes with int8 weights, beside float32 and bfloat16, on a CPU.

    python -m benchmarks.inference.int8_chunks [--horizon None]      None: the small network, to try

The engine as it is served, with random weights (no time depends on them), on one thread; CPU
seconds. Each way that begins with bfloat16 takes turns with it, so that other work hits both alike;
float32, which leaves no memory for another, is measured before. In int8 the rows of a product are
quantized as they come, by one scale; in PyTorch a GELU is computed in the same kernel. Needs 13 GB
of free memory.
"""

import gc
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import tyro
from handover_model.engine.cpu.engine import CpuEngine
from handover_model.engine.functional.layer_replacement import replace_layers
from handover_model.engine.functional.linear import Dense, Linear, Norm, finish
from handover_model.engine.functional.tables import take_weights
from handover_model.engine.reference import compare
from handover_model.policy import GrootPolicy
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from benchmarks.harness.machine import OthersAtWork
from benchmarks.harness.result_file import write_result
from benchmarks.inference.networks import Subject, choose_subject

SMALLEST = 1e-6  # for rows of zeros
LARGEST = 127


@dataclass(frozen=True)
class Int8Chunks:
    """Time whole chunks."""

    checkpoint: Path = Path("checkpoints/aloha-mini")
    """Whose processor is used, and whose network without --horizon"""
    horizon: int | None = 50
    """Steps of a chunk of the published sizes; None for the small network, as a trial"""
    rounds: int = 3
    """Chunks of each, after one that is not counted"""
    name: str = "int8_chunks"
    """Of the file in benchmarks/results"""


def main(config: Int8Chunks) -> Path:
    """Time them all; returns the file of the figures."""
    torch.set_num_threads(1)
    exact = _measure(config, "float32", {"float32": lambda layer: layer})["float32"]
    gc.collect()  # the former network, before the next
    rounded = _measure(config, "bfloat16", CHANGES)
    result = {
        "what": "a whole chunk by the CPU engine on one thread, random weights of the published "
        "sizes; each way took turns with bfloat16, and float32 with itself",
        "horizon": config.horizon,
        "rounds": config.rounds,
        "float32": exact,
        "beside_bfloat16": rounded,
    }
    print(result)
    return write_result(config.name, result)


def _measure(
    config: Int8Chunks, dtype: str, changes: Mapping[str, Callable[[Dense], Linear]]
) -> dict[str, dict[str, Any]]:
    """Time a network of a type, in turns with what each change makes of its large layers."""
    subject = choose_subject(config.checkpoint, config.horizon, "cpu", dtype, (256, 256))
    policy = GrootPolicy(subject.load())
    slot = policy.processor.config.embodiment_ids[policy.processor.tag]
    pad, precision = policy.processor.tokenizer.pad_token, policy.engine.precision
    weights = take_weights(policy.network, slot)
    plain = CpuEngine(policy.network, slot, pad, weights, precision)
    run = _chunk(policy, subject)
    rows: dict[str, dict[str, Any]] = {}
    for name, change in changes.items():
        made = replace_layers(weights, lambda _, layer, change=change: change(layer))
        engine = CpuEngine(policy.network, slot, pad, made, precision)
        others = OthersAtWork()
        want, found = run(plain)[1], run(engine)[1]  # not counted
        took = [(run(plain)[0], run(engine)[0]) for _ in range(config.rounds)]
        plain_s, own_s = (statistics.median(each) for each in zip(*took, strict=True))
        rows[name] = {
            "chunk_cpu_s": round(own_s, 4),
            f"{dtype}_cpu_s": round(plain_s, 4),
            "times_as_fast": round(plain_s / own_s, 2),
            "each_cpu_s": [[round(each, 4) for each in pair] for pair in took],
            "cosine": round(compare(found, want).cosine, 6),
            "other_processes_cores": others.cores(),
        }
        print(name, rows[name], flush=True)
    return rows


def _chunk(policy: GrootPolicy, subject: Subject) -> Callable[[CpuEngine], tuple[float, Any]]:
    """Return what computes one chunk by an engine: CPU seconds, and the chunk."""
    sample, network = policy.prepare(subject.request(policy, 0)), policy.network.config
    shape = (1, network.action_horizon, network.max_action_dim)
    noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)

    @torch.inference_mode()
    def run(engine: CpuEngine) -> tuple[float, Any]:
        began_s = time.process_time()
        output = engine.run([sample], noise)
        assert output is not None, "the processor's own prompt"
        return time.process_time() - began_s, output.chunks

    return run


@dataclass(frozen=True)
class PackedLinear:
    """A linear layer whose weight is laid out as oneDNN wants it once, not for every product."""

    packed: Tensor
    bias: Tensor | None

    @staticmethod
    def of(layer: Dense) -> Linear:
        """Lay a layer's weight out."""
        packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight, None)
        return PackedLinear(packed, layer.bias)

    def __call__(
        self,
        tokens: Tensor,
        norm: Norm | None = None,
        gelu: bool = False,
        residual: Tensor | None = None,
    ) -> Tensor:
        """See Linear."""
        read = tokens if norm is None else norm(tokens)
        after = ("gelu", [], "tanh") if gelu else ("none", [], "")
        product = torch.ops.mkldnn._linear_pointwise(read, self.packed, self.bias, *after)
        return finish(product, False, residual)


@dataclass(frozen=True)
class TorchInt8Linear:
    """A linear layer in int8 by oneDNN, as PyTorch has it."""

    packed: Tensor
    scales: Tensor
    """(out,) float32"""
    zeros: Tensor
    bias: Tensor | None

    @staticmethod
    def of(layer: Dense) -> Linear:
        """Round a layer's weight, each output by its own scale."""
        rounded, scales = round_weight(layer)
        packed = torch.ops.onednn.qlinear_prepack(rounded, None)
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        bias = None if layer.bias is None else layer.bias.float()
        return TorchInt8Linear(packed, scales, zeros, bias)

    def __call__(
        self,
        tokens: Tensor,
        norm: Norm | None = None,
        gelu: bool = False,
        residual: Tensor | None = None,
    ) -> Tensor:
        """See Linear."""
        read = (tokens if norm is None else norm(tokens)).flatten(0, -2)
        least, most = torch.aminmax(read)
        scale = max(-float(least), float(most), SMALLEST) / LARGEST
        rows = read.float().mul_(1 / scale).round_().to(torch.int8)
        given = (rows, scale, 0, self.packed, self.scales, self.zeros, self.bias, 1.0, 0)
        after = ("gelu", [], "tanh") if gelu else ("none", [], "")
        product = torch.ops.onednn.qlinear_pointwise(*given, tokens.dtype, *after)
        return finish(product.view(*tokens.shape[:-1], -1), False, residual)


@dataclass(frozen=True)
class OnnxInt8Linear:
    """A linear layer in int8 by ONNX Runtime, as its dynamic quantization writes it."""

    session: onnxruntime.InferenceSession

    @staticmethod
    def of(layer: Dense) -> Linear:
        """Round a layer's weight, each output by its own scale."""
        rounded, scales = round_weight(layer)
        constants = {"weight": rounded.t().contiguous(), "scales": scales}
        nodes = [
            (("DynamicQuantizeLinear", "x"), ("rows", "scale", "zero")),
            (("MatMulInteger", "rows", "weight", "zero"), ("product",)),
            (("Cast", "product"), ("numbers",)),
            (("Mul", "scale", "scales"), ("both",)),
            (("Mul", "numbers", "both"), ("y" if layer.bias is None else "scaled",)),
        ]
        if layer.bias is not None:
            constants["bias"] = layer.bias.float()
            nodes.append((("Add", "scaled", "bias"), ("y",)))
        return OnnxInt8Linear(_session(nodes, constants))

    def __call__(
        self,
        tokens: Tensor,
        norm: Norm | None = None,
        gelu: bool = False,
        residual: Tensor | None = None,
    ) -> Tensor:
        """See Linear."""
        read = (tokens if norm is None else norm(tokens)).flatten(0, -2).float()
        (product,) = self.session.run(None, {"x": read.numpy()})
        made = torch.from_numpy(product).to(tokens.dtype).view(*tokens.shape[:-1], -1)
        return finish(made, gelu, residual)


def round_weight(layer: Dense) -> tuple[Tensor, Tensor]:
    """Round a weight to int8: (out, in), and each output's scale."""
    weight = layer.weight.float()
    scales = weight.abs().amax(1).clamp(min=SMALLEST) / LARGEST
    return (weight / scales[:, None]).round().to(torch.int8), scales


def _session(
    nodes: Sequence[tuple[Sequence[str], Sequence[str]]], constants: Mapping[str, Tensor]
) -> onnxruntime.InferenceSession:
    more: dict[str, dict[str, Any]] = {"Cast": {"to": TensorProto.FLOAT}}
    width, out = constants["weight"].shape
    graph = helper.make_graph(
        [helper.make_node(op, given, made, **more.get(op, {})) for (op, *given), made in nodes],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["tokens", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["tokens", out])],
        [numpy_helper.from_array(value.numpy(), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    given = model.SerializeToString()
    return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])


CHANGES = {
    "bfloat16, packed": PackedLinear.of,
    "int8, PyTorch": TorchInt8Linear.of,
    "int8, ONNX Runtime": OnnxInt8Linear.of,
}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(main(tyro.cli(Int8Chunks)))
