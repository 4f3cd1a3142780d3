"""Messages of openpi: observations and actions, converted from and to the contract's types.

in:  {"state": (14,) | (width,) | {group: (dim,)}, "images": {camera: uint8 CHW or HWC},
      "prompt": str[, "seed": int]}; "observation/state", "observation/CAMERA" stand for the same
out: {"actions": (steps, 14 | width) float32, "server_timing": {...}, "policy_timing": {...}}
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from handover_proto import (
    ALOHA_JOINTS,
    InvalidRequest,
    Observation,
    PolicyOutput,
    PolicyRequest,
    PolicySpec,
    ServerInfo,
    aloha_state_groups,
    aloha_targets,
    check_names,
)

from handover_server.gateways.aloha_layout import (
    TOP_CAMERA,
    at_rate,
    is_aloha_shaped,
    training_square,
)
from handover_server.gateways.arrays import as_float32, openpi_array, read_openpi_array, read_seed
from handover_server.gateways.msgpack_guard import pack

_FLAT = "observation/"
_JOINTS = "joints"


@dataclass(frozen=True)
class Adaptation:
    """Settings for what openpi's protocol leaves open.

    prompt: the task where the client sends none, as its aloha_sim example; "" for none
    rate_hz: how often an ALOHA client takes a row of the actions; None for the policy's rate
    """

    prompt: str = ""
    rate_hz: float | None = None


def metadata(info: ServerInfo, adaptation: Adaptation) -> bytes:
    """Serialize what a client gets on connect: what is served, as openpi's free-form map."""
    spec = info.spec
    is_aloha = is_aloha_shaped(spec)
    return pack(
        {
            "server": f"handover {info.server_version}".strip(),
            "policy": spec.policy,
            "checkpoint": spec.checkpoint_name,
            "checkpoint_hash": spec.checkpoint_hash,
            "cameras": [camera.name for camera in spec.cameras],
            "state": {group.name: group.dim for group in spec.state},
            "action": {group.name: group.dim for group in spec.action},
            "horizon": spec.horizon,
            "policy_rate_hz": spec.rate_hz,
            "actions_rate_hz": (is_aloha and adaptation.rate_hz) or spec.rate_hz,
            "aloha_joints": list(ALOHA_JOINTS) if is_aloha else [],
        }
    )


def read_observation(
    message: Any, spec: PolicySpec, adaptation: Adaptation
) -> tuple[PolicyRequest, bool]:
    """Convert an openpi observation to a request; also returns whether it has ALOHA's 14 joints.

    Raises InvalidRequest naming the key.
    """
    if not isinstance(message, dict):
        raise InvalidRequest("message", "a map of state, images and prompt", type(message).__name__)
    message = _nested(message)
    images = message.get("images")
    if not isinstance(images, dict) or not all(isinstance(name, str) for name in images):
        raise InvalidRequest("images", "a map of cameras", type(images).__name__)
    state = _state(message.get("state"), spec)
    is_joints = set(state) == {_JOINTS}
    seed = read_seed(message.get("seed"), "seed", 63)
    observation = Observation(
        _cameras(images, spec, is_joints),
        aloha_state_groups(state[_JOINTS]) if is_joints else state,
        _prompt(message.get("prompt"), adaptation),
    )
    return PolicyRequest(observation, seed=seed), is_joints


def actions(
    output: PolicyOutput, is_joints: bool, spec: PolicySpec, adaptation: Adaptation
) -> np.ndarray:
    """Convert a policy's output to rows of targets: (steps, 14 or the groups' width), float32."""
    if not is_joints:
        return np.concatenate([output.action[group.name] for group in spec.action], axis=-1)
    targets = aloha_targets(output.action)
    if adaptation.rate_hz is None or not spec.rate_hz:
        return targets
    return at_rate(targets, spec.rate_hz, adaptation.rate_hz)


def reply(rows: np.ndarray, infer_ms: float, policy_ms: float, previous_ms: float | None) -> bytes:
    """Serialize the reply, with durations under openpi's names, in ms."""
    timing = {"infer_ms": infer_ms}
    if previous_ms is not None:
        timing["prev_total_ms"] = previous_ms
    return pack(
        {
            "actions": openpi_array(rows),
            "server_timing": timing,
            "policy_timing": {"infer_ms": policy_ms},
        }
    )


def _nested(message: Mapping[Any, Any]) -> dict[Any, Any]:
    """Read "observation/state" as "state", and any other "observation/X" as an image X."""
    flat = {
        key[len(_FLAT) :]: value
        for key, value in message.items()
        if isinstance(key, str) and key.startswith(_FLAT)
    }
    if not flat:
        return dict(message)
    state = {"state": flat.pop("state")} if "state" in flat else {}
    return {**message, **state, "images": flat}


def _state(value: Any, spec: PolicySpec) -> dict[str, np.ndarray]:
    """Return the state's groups, each (1, dim) float32; {_JOINTS: (14,)} of an ALOHA client."""
    if isinstance(value, dict) and b"__ndarray__" not in value:
        check_names("state", map(str, value), [group.name for group in spec.state])
        groups = {name: _floats(values, f'state["{name}"]') for name, values in value.items()}
        return {name: np.atleast_2d(values) for name, values in groups.items()}
    flat = _floats(value, "state")
    width = sum(group.dim for group in spec.state)
    if flat.shape == (len(ALOHA_JOINTS),) and is_aloha_shaped(spec):
        return {_JOINTS: flat}
    if flat.shape != (width,) or any(group.steps != 1 for group in spec.state):
        wanted = ", ".join(f"{group.name} {group.dim}" for group in spec.state)
        joints = " or the 14 joints of ALOHA" if is_aloha_shaped(spec) else ""
        raise InvalidRequest("state", f"({width},): {wanted}{joints}", f"{flat.shape}")
    ends = np.cumsum([group.dim for group in spec.state])[:-1]
    parts = np.split(flat[None, :], ends, axis=1)
    return {group.name: part for group, part in zip(spec.state, parts, strict=True)}


def _floats(value: Any, path: str) -> np.ndarray:
    return as_float32(read_openpi_array(value, path), path)


def _cameras(images: Mapping[str, Any], spec: PolicySpec, is_joints: bool) -> dict[str, list]:
    """Return the policy's camera frames, found by name or, for ALOHA, by openpi's name."""
    wanted = {camera.name: camera.name for camera in spec.cameras}
    if not is_joints:
        check_names("images", images, wanted)
    elif len(wanted) == 1 and not wanted.keys() & images.keys():
        wanted = dict.fromkeys(wanted, TOP_CAMERA)
    missing = [key for key in wanted.values() if key not in images]
    if missing:
        raise InvalidRequest(
            "images", ", ".join(wanted.values()), ", ".join(images)[:200] or "none"
        )
    frames = {name: _frame(images[key], f'images["{key}"]') for name, key in wanted.items()}
    if is_joints:
        frames = {name: training_square(frame) for name, frame in frames.items()}
    return {name: [frame] for name, frame in frames.items()}


def _frame(value: Any, path: str) -> np.ndarray:
    """Return (3, height, width) or (height, width, 3) uint8 as (height, width, 3)."""
    image = read_openpi_array(value, path)
    channels = [axis for axis in (0, 2) if image.ndim == 3 and image.shape[axis] == 3]
    if image.dtype != np.uint8 or len(channels) != 1 or 0 in image.shape:
        raise InvalidRequest(
            path, "uint8 (3, height, width) or (height, width, 3)", f"{image.dtype} {image.shape}"
        )
    return image if channels == [2] else image.transpose(1, 2, 0)


def _prompt(value: Any, adaptation: Adaptation) -> str:
    prompt = adaptation.prompt if value is None else value
    if not isinstance(prompt, str) or not prompt.strip():
        raise InvalidRequest(
            "prompt",
            "an instruction in words; `handover serve --openpi-prompt` gives one to "
            "clients that send none",
            repr(prompt)[:40],
        )
    return prompt
