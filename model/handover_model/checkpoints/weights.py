"""Weights on disk: safetensors, in one file or in shards with an index.

Tensors are read one at a time into a network that was built without memory, so that loading takes
no more memory than the weights themselves.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from handover_model.errors import CheckpointError
from handover_model.network.json_settings import read_json

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
SHARD_BYTES = 5_000_000_000  # the published layout's shards
LISTED = 8  # keys of each kind that an error lists


def weight_files(folder: Path) -> list[Path]:
    """Find a checkpoint's weight files; CheckpointError if any is missing."""
    if (folder / INDEX_FILE).is_file():
        weight_map = read_json(folder / INDEX_FILE).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise CheckpointError(f"{folder / INDEX_FILE} has no weight_map")
        names = sorted(set(map(str, weight_map.values())))
        bad = [name for name in names if Path(name).name != name]
        missing = [name for name in names if not (folder / name).is_file()]
        if bad or missing:
            raise CheckpointError(
                f"{folder} lacks weight files named by {INDEX_FILE}: {', '.join(bad or missing)}; "
                "download the checkpoint again"
            )
        return [folder / name for name in names]
    if (folder / SINGLE_FILE).is_file():
        return [folder / SINGLE_FILE]
    pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
    hint = "; pickled weights (.bin, .pt) are never loaded, convert them" if pickled else ""
    raise CheckpointError(f"{folder} has neither {SINGLE_FILE} nor {INDEX_FILE}{hint}")


def weight_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """List a checkpoint's tensors without reading them: {key: shape}."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in weight_files(folder):
        with open_weights(path) as file:
            shapes.update((key, tuple(file.get_slice(key).get_shape())) for key in file.keys())  # noqa: SIM118
    return shapes


def read_weights(folder: Path, keys: set[str], device: str = "cpu") -> Iterator[tuple[str, Tensor]]:
    """Read tensors of a checkpoint one by one, in the types in which they are stored."""
    for path in weight_files(folder):
        with open_weights(path, device) as file:
            for key in sorted(keys.intersection(file.keys())):
                yield key, file.get_tensor(key)


def load_weights(
    network: nn.Module,
    folder: Path,
    *,
    device: torch.device,
    dtype: torch.dtype | None,
    ignored: Mapping[str, tuple[int, ...]],
    optional: frozenset[str] = frozenset(),
) -> None:
    """Load a checkpoint's weights into a network that was built empty, strictly.

    dtype: of the loaded weights; None keeps each as it is stored. `ignored` may be in the
    checkpoint and are not read; `optional` may be missing and stay as they are. Raises
    CheckpointError listing every key that is missing, left over or of another shape.
    """
    wanted = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    found = weight_shapes(folder)
    _check_keys(folder, wanted, found, ignored, optional)
    weights = {
        key: tensor if dtype is None else tensor.to(dtype)
        for key, tensor in read_weights(folder, set(wanted), str(device))
    }
    network.load_state_dict(weights, strict=False, assign=True)


def save_weights(folder: Path, weights: Mapping[str, Tensor], shard_bytes: int) -> None:
    """Write weights into a folder: one file, or shards with an index above `shard_bytes`."""
    shards = _split(weights, shard_bytes)
    if len(shards) == 1:
        _write(shards[0], folder / SINGLE_FILE)
        return
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _write(shard, folder / name)
        weight_map.update(dict.fromkeys(shard, name))
    total = sum(tensor.nbytes for tensor in weights.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / INDEX_FILE).write_text(json.dumps(index, indent=2), encoding="utf-8")


def open_weights(path: Path, device: str = "cpu") -> safe_open:
    """Open a safetensors file; CheckpointError when it is damaged."""
    try:
        return safe_open(path, framework="pt", device=device)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a readable safetensors file ({error}); download it again"
        ) from error


def _split(weights: Mapping[str, Tensor], shard_bytes: int) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for key, tensor in weights.items():
        if shards[-1] and size + tensor.nbytes > shard_bytes:
            shards.append({})
            size = 0
        shards[-1][key] = tensor
        size += tensor.nbytes
    return shards


def _write(shard: Mapping[str, Tensor], path: Path) -> None:
    ready = {key: tensor.detach().to("cpu").contiguous() for key, tensor in shard.items()}
    save_file(ready, path, {"format": "pt"})
    path.chmod(0o644)  # safetensors creates files that only their owner can read


def _check_keys(
    folder: Path,
    wanted: Mapping[str, tuple[int, ...]],
    found: Mapping[str, tuple[int, ...]],
    ignored: Mapping[str, tuple[int, ...]],
    optional: frozenset[str],
) -> None:
    known = {**ignored, **wanted}
    missing = sorted(set(wanted) - set(found) - optional)
    left_over = sorted(set(found) - set(known))
    reshaped = [
        f"{key} is {found[key]}, expected {known[key]}"
        for key in sorted(set(found) & set(known))
        if found[key] != known[key]
    ]
    problems = [
        f"{len(keys)} {kind}: {'; '.join(keys[:LISTED])}{' …' if len(keys) > LISTED else ''}"
        for kind, keys in (
            ("missing", missing),
            ("left over", left_over),
            ("of another shape", reshaped),
        )
        if keys
    ]
    if problems:
        raise CheckpointError(
            f"the weights in {folder} do not fit the network that its config.json (and "
            f"eagle_config.json) describes: {' | '.join(problems)}"
        )
