"""Messages of Isaac-GR00T N1.6: observations, actions, modality config, to the contract's types.

in:  {"video": {camera: (B, T, H, W, 3) uint8}, "state": {group: (B, T, D) float}, "language":
      {key: B lists of one sentence}}, and in `options` a "seed" for the batch's first, if wanted
out: [{group: (B, horizon, D) float32}, {}]

Handover's own client says so ({"handover": True} in the options of `reset` and `get_action`) and
gets GetInfo's reply, and what gRPC's replies say beside the action; Isaac-GR00T's ignore it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from handover_proto import (
    LANGUAGE_KEY,
    InvalidRequest,
    Observation,
    PolicyOutput,
    PolicyRequest,
    PolicySpec,
    check_names,
)
from handover_proto.msgpack_wire import as_float32, npy, pack, read_npy, read_seed

_MAX_BATCH = 64


def read_batch(data: Any, spec: PolicySpec) -> list[PolicyRequest]:
    """Convert get_action's `data` to a request per row of its batch; raises InvalidRequest."""
    observation = _map(_map(data, "data").get("observation"), "observation")
    video = _map(observation.get("video"), "observation.video")
    state = _map(observation.get("state"), "observation.state")
    check_names("observation.video", map(str, video), [camera.name for camera in spec.cameras])
    check_names("observation.state", map(str, state), [group.name for group in spec.state])
    tasks = _tasks(observation.get("language"))
    count = len(tasks)
    steps = {camera.name: camera.steps for camera in spec.cameras}
    frames = {name: _video(value, name, count, steps[name]) for name, value in video.items()}
    groups = {name: _group(value, name, count) for name, value in state.items()}
    options = data.get("options")
    seed = options.get("seed") if isinstance(options, dict) else None
    seed = read_seed(seed, "options.seed", 64)
    return [
        PolicyRequest(
            Observation(
                {name: list(rows[row]) for name, rows in frames.items()},
                {name: rows[row] for name, rows in groups.items()},
                tasks[row],
            ),
            seed=None if seed is None else (seed + row) % 2**64,
            sequence=row,
        )
        for row in range(count)
    ]


def is_ours(data: Any) -> bool:
    """Return whether an endpoint's `data` is from Handover's own client."""
    options = data.get("options") if isinstance(data, dict) else None
    return isinstance(options, dict) and options.get("handover") is True


def action_reply(
    outputs: Sequence[PolicyOutput], spec: PolicySpec, described: Mapping[str, Any] | None = None
) -> bytes:
    """Serialize the reply to a batch: a pair of actions and a map, empty for Isaac-GR00T's."""
    groups = {
        group.name: npy(np.stack([output.action[group.name] for output in outputs]))
        for group in spec.action
    }
    return pack((groups, described or {}))


def modality_config_reply(spec: PolicySpec) -> bytes:
    """Serialize the policy's inputs and outputs as the reference's ModalityConfig."""
    return pack(
        {
            "video": _modality(_steps(spec.cameras), [camera.name for camera in spec.cameras]),
            "state": _modality(_steps(spec.state), [group.name for group in spec.state]),
            "action": _modality(
                list(range(spec.first_step, spec.first_step + spec.horizon)),
                [group.name for group in spec.action],
                [
                    {
                        "rep": "RELATIVE" if group.relative else "ABSOLUTE",
                        "type": "NON_EEF",
                        "format": "DEFAULT",
                        "state_key": None,
                    }
                    for group in spec.action
                ],
            ),
            "language": _modality([0], [LANGUAGE_KEY]),
        }
    )


def error_reply(text: str) -> bytes:
    """Serialize an error, which the reference's client raises."""
    return pack({"error": text})


def _modality(indices: list[int], keys: list[str], actions: list[dict] | None = None) -> dict:
    return {
        "__ModalityConfig_class__": True,
        "as_json": {
            "delta_indices": indices,
            "modality_keys": keys,
            "sin_cos_embedding_keys": None,
            "mean_std_embedding_keys": None,
            "action_configs": actions,
        },
    }


def _steps(parts: Sequence[Any]) -> list[int]:
    """Return the spec's time steps; where it only has their number, those up to now."""
    known = [list(part.delta_indices) for part in parts if part.delta_indices]
    return known[0] if known else list(range(1 - max((p.steps for p in parts), default=1), 1))


def _map(value: Any, path: str) -> dict:
    if not isinstance(value, dict):
        raise InvalidRequest(path, "a map", type(value).__name__)
    return value


def _tasks(language: Any) -> list[str]:
    texts = list(_map(language, "observation.language").values())
    rows = texts[0] if len(texts) == 1 and isinstance(texts[0], list) else []
    tasks = [row[0] for row in rows if isinstance(row, list) and len(row) == 1]
    if not 0 < len(tasks) == len(rows) <= _MAX_BATCH or not all(isinstance(t, str) for t in tasks):
        raise InvalidRequest(
            "observation.language",
            f"one key with 1 to {_MAX_BATCH} lists of one sentence",
            f"{len(texts)} key(s), {len(rows)} row(s)",
        )
    return tasks


def _video(value: Any, name: str, count: int, steps: int) -> np.ndarray:
    """Return (count, steps, height, width, 3) uint8, of at least a pixel: its frames are listed."""
    path = f'observation.video["{name}"]'
    frames = read_npy(value, path)
    known = (count, steps, 3)
    if (
        frames.dtype != np.uint8
        or frames.ndim != 5
        or (*frames.shape[:2], frames.shape[-1]) != known
    ):
        raise InvalidRequest(
            path, f"uint8 ({count}, {steps}, height, width, 3)", f"{frames.dtype} {frames.shape}"
        )
    if not frames.size:
        raise InvalidRequest(path, "frames of at least a pixel", f"{frames.shape}")
    return frames


def _group(value: Any, name: str, count: int) -> np.ndarray:
    path = f'observation.state["{name}"]'
    values = as_float32(read_npy(value, path), path)
    if values.ndim != 3 or values.shape[0] != count:
        raise InvalidRequest(path, f"({count}, steps, dim)", f"{values.shape}")
    return values
