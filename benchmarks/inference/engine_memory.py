"""What the CUDA graphs of the published size hold, computed without a GPU.

    python -m benchmarks.inference.engine_memory

The network is built on PyTorch's meta device, which keeps shapes and no numbers, and every tensor
that lives while a bucket's chunk is computed is counted. A GPU adds its libraries' workspaces and
the allocator's rounding; attention that keeps its scores to itself takes away. Nothing is measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import tyro
from handover_model.engine.cuda.buckets import GPU_BATCH, make_buckets
from handover_model.engine.cuda.chunk_module import ChunkModule, empty_inputs
from handover_model.engine.functional.chunk import EngineWeights
from handover_model.engine.functional.layer_replacement import replace_layers
from handover_model.engine.functional.linear import Dense, Linear
from handover_model.engine.functional.tables import make_tables, take_weights
from handover_model.engine.functional.token_layout import TokenLayout
from handover_model.network.config import ModelConfig
from handover_model.network.eagle_config import EagleConfig
from handover_model.network.groot import Gr00tNetwork, build_empty
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.harness.result_file import write_result
from benchmarks.inference.floor import tensors_of

PUBLISHED = ModelConfig(max_state_dim=128, max_action_dim=128, action_horizon=50)
MIB = 2**20


@dataclass(frozen=True)
class EngineMemory:
    """Count the bytes of every bucket, for one camera."""

    text: int = 31
    """Tokens of the prompt around the image"""
    side: int = 9
    """Image tokens along a side: 9 for 252 pixels"""
    name: str = "engine_memory"
    """The result goes to benchmarks/results/NAME.json"""


class LiveBytes(TorchDispatchMode):
    """Counts the storages that operations make, while they live."""

    def __init__(self, known: Sequence[Tensor]) -> None:
        super().__init__()
        self._known = {tensor.untyped_storage()._cdata for tensor in known}
        self._alive: dict[StorageWeakRef, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and count what it left."""
        output = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata not in self._known:
                storage = tensor.untyped_storage()
                self._alive[StorageWeakRef(storage)] = storage.nbytes()
        self._alive = {ref: size for ref, size in self._alive.items() if not ref.expired()}
        self.peak = max(self.peak, sum(self._alive.values()))
        return output


def main(config: EngineMemory) -> dict[str, object]:
    """Count, print a table and write the result's JSON."""
    network = build_empty(PUBLISHED, EagleConfig()).to(torch.bfloat16)
    network.backbone.model.language_model.make_frequencies(torch.device("meta"))
    weights = take_weights(network, 0)
    own = {_storage(weight) for weight in network.parameters()}
    image = config.side**2
    shortest = TokenLayout(
        1,
        image + config.text,
        ((config.text - 8, config.text - 8 + image),),
        ((config.side, config.side),),
    )
    rows = []
    for bucket in make_buckets(shortest, GPU_BATCH):
        static, tables, peak = _count(network, weights, bucket.layout)
        rows.append(
            {
                "batch": bucket.rows,
                "tokens": bucket.layout.length,
                "static_inputs_mib": static,
                "tables_mib": tables,
                "intermediate_mib": peak,
            }
        )
        print(rows[-1])
    result: dict[str, object] = {
        "network_mib": _mib(list(network.parameters())),
        "folded_copies_mib": _mib([t for t in tensors_of(weights) if _storage(t) not in own]),
        "fp8_copies_mib": round(_fp8_bytes(weights) / MIB, 1),
        "static_inputs_mib": round(sum(row["static_inputs_mib"] for row in rows), 1),
        "tables_mib": round(sum(row["tables_mib"] for row in rows), 1),
        "shared_pool_mib": max(row["intermediate_mib"] for row in rows),
        "buckets": rows,
        "counted_on_the_meta_device": True,
    }
    print({key: value for key, value in result.items() if key != "buckets"})
    write_result(config.name, result)
    return result


@torch.no_grad()
def _count(
    network: Gr00tNetwork, weights: EngineWeights, layout: TokenLayout
) -> tuple[float, float, float]:
    """Give a bucket's static inputs, tables and largest sum of intermediates, MiB."""
    tables = make_tables(network, layout)
    inputs = empty_inputs(
        layout,
        network.eagle.pixels_per_token,
        (1, PUBLISHED.max_state_dim),
        (PUBLISHED.action_horizon, PUBLISHED.max_action_dim),
        torch.device("meta"),
        torch.bfloat16,
    )
    with LiveBytes([*inputs, *tensors_of(weights), *tensors_of(tables)]) as live:
        ChunkModule(weights, layout, tables)(*inputs)
    return _mib(inputs), _mib(list(tensors_of(tables))), round(live.peak / MIB, 1)


def _fp8_bytes(weights: EngineWeights) -> int:
    sizes: list[int] = []

    def change(_name: str, layer: Dense) -> Linear:
        sizes.append(layer.weight.numel())
        return layer

    replace_layers(weights, change)
    return sum(sizes)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _mib(tensors: Sequence[Tensor]) -> float:
    """Add up storages, each once."""
    storages = {_storage(tensor): tensor.untyped_storage().nbytes() for tensor in tensors}
    return round(sum(storages.values()) / MIB, 1)


if __name__ == "__main__":
    main(tyro.cli(EngineMemory))
