"""Weights on disk: safetensors, in one file or in shards with an index.

Tensors are read one at a time into a network that was built without memory, so that loading takes
no more memory than the weights themselves.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from handover_model.checkpoints.weight_file import StoredTensor, WeightFile, hash_files
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


class WeightFiles:
    """A checkpoint's weight files, all open; a context manager."""

    def __init__(self, folder: Path) -> None:
        """Open them; CheckpointError if one is missing, damaged, or repeats another's tensor."""
        self.folder = folder
        self._files: list[WeightFile] = []
        self.stored: dict[str, StoredTensor] = {}
        with ExitStack() as stack:
            for path in weight_files(folder):
                file = stack.enter_context(open_weights(path))
                if twice := set(file.tensors) & set(self.stored):
                    raise CheckpointError(f"{path} repeats {min(twice)} of another file")
                self._files.append(file)
                self.stored.update(file.tensors)
            self._open = stack.pop_all()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor's shape."""
        return {key: stored.shape for key, stored in self.stored.items()}

    def read(self, keys: Collection[str], digests: dict[str, str]) -> Iterator[tuple[str, Tensor]]:
        """Read tensors one by one, in the types in which they are stored.

        digests: gets the SHA-256 of each file that has been read to its end, by its name.
        """
        for file in self._files:
            digest = hashlib.sha256()
            yield from file.read(keys, digest)
            digests[file.path.name] = digest.hexdigest()

    def __enter__(self) -> "WeightFiles":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


def weight_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """List a checkpoint's tensors without reading them: {key: shape}."""
    with WeightFiles(folder) as files:
        return files.shapes


def read_weights(folder: Path, keys: set[str]) -> Iterator[tuple[str, Tensor]]:
    """Read tensors of a checkpoint one by one, in the types in which they are stored."""
    for path in weight_files(folder):
        with open_weights(path) as file:
            for key in sorted(keys.intersection(file.tensors)):
                yield key, file.get_tensor(key)


def load_weights(
    network: nn.Module,
    files: WeightFiles,
    *,
    device: torch.device,
    dtype: torch.dtype | None,
    ignored: Mapping[str, tuple[int, ...]],
    optional: frozenset[str] = frozenset(),
) -> str:
    """Load weights into a network that was built empty, strictly; return the hash of the files.

    dtype: of the loaded weights; None keeps each as it is stored. `ignored` may be in the
    checkpoint and are not kept; `optional` may be missing and stay as they are. Raises
    CheckpointError listing every key that is missing, left over or of another shape.
    """
    wanted = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    _check_keys(files.folder, wanted, files.shapes, ignored, optional)
    digests: dict[str, str] = {}
    weights = {
        key: tensor.to(device, dtype or tensor.dtype)
        for key, tensor in files.read(wanted.keys(), digests)
    }
    network.load_state_dict(weights, strict=False, assign=True)
    return hash_files(digests)


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


def open_weights(path: Path) -> WeightFile:
    """Open a safetensors file; CheckpointError when it is damaged."""
    return WeightFile(path)


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
