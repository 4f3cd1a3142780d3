"""Messages of openpi: observations and actions, converted from and to the contract's types.

in:  {"state": (14,) | (width,) | {group: (dim,)}, "images": {camera: uint8 CHW or HWC},
      "prompt": str[, "seed": int]}; "observation/state", "observation/CAMERA" stand for the same
out: {"actions": (steps, 14 | width) float32, "server_timing": {...}, "policy_timing": {...}
      , "handover": {seed, checkpoint_hash, durations} [, "ignored_images": [name]]}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from handover_proto import (
    ALOHA_JOINTS,
    GRIPPER_JOINTS,
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
from handover_proto.msgpack_wire import (
    as_float32,
    openpi_array,
    pack,
    read_openpi_array,
    read_seed,
)
from handover_proto.wire import encode_info

from handover_server.gateways.aloha_layout import (
    TOP_CAMERA,
    is_aloha_shaped,
    training_square,
)
from handover_server.gateways.calls import Answer
from handover_server.gateways.control_rate import at_rate, jumping_columns, steps_at_rate

_FLAT = "observation/"
_JOINTS = "joints"
_MOST_NAMED = 16  # of the images that are ignored


@dataclass(frozen=True)
class Adaptation:
    """Settings for what openpi's protocol leaves open.

    prompt: the task where the client sends none, as its aloha_sim example; "" for none
    rate_hz: how often a client takes a row of the actions; None for the policy's rate
    """

    prompt: str = ""
    rate_hz: float | None = None


@dataclass(frozen=True)
class OpenpiRequest:
    """A client's observation as a request.

    is_joints: whether it has ALOHA's 14 joints, and so wants them back
    ignored: names of images for which the policy has no camera
    """

    request: PolicyRequest
    is_joints: bool
    ignored: tuple[str, ...]


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
            "actions_rate_hz": adaptation.rate_hz or spec.rate_hz,
            "actions_steps": _rows(spec, adaptation),
            "aloha_joints": list(ALOHA_JOINTS) if is_aloha else [],
            "get_info": encode_info(info).SerializeToString(),  # for Handover's own clients
        }
    )


def read_observation(message: Any, spec: PolicySpec, adaptation: Adaptation) -> OpenpiRequest:
    """Convert an openpi observation to a request; raises InvalidRequest naming the key."""
    if not isinstance(message, dict):
        raise InvalidRequest("message", "a map of state, images and prompt", type(message).__name__)
    message = _nested(message)
    images = message.get("images")
    if not isinstance(images, dict) or not all(isinstance(name, str) for name in images):
        raise InvalidRequest("images", "a map of cameras", type(images).__name__)
    state = _state(message.get("state"), spec)
    is_joints = set(state) == {_JOINTS}
    seed = read_seed(message.get("seed"), "seed", 64)
    keys = _camera_keys(images, spec, is_joints)
    observation = Observation(
        {name: [_frame(images, key, is_joints)] for name, key in keys.items()},
        aloha_state_groups(state[_JOINTS]) if is_joints else state,
        _prompt(message.get("prompt"), adaptation),
    )
    ignored = tuple(sorted(images.keys() - set(keys.values()))[:_MOST_NAMED])
    return OpenpiRequest(PolicyRequest(observation, seed=seed), is_joints, ignored)


def actions(
    output: PolicyOutput, is_joints: bool, spec: PolicySpec, adaptation: Adaptation
) -> np.ndarray:
    """Convert a policy's output to rows of targets: (steps, 14 or the groups' width), float32."""
    if is_joints:
        rows, jumping = aloha_targets(output.action), list(GRIPPER_JOINTS)
    else:
        rows = np.concatenate([output.action[group.name] for group in spec.action], axis=-1)
        jumping = jumping_columns(spec)
    if adaptation.rate_hz is None or adaptation.rate_hz == spec.rate_hz:
        return rows
    return at_rate(rows, spec.rate_hz, adaptation.rate_hz, jumping)


def reply(
    rows: np.ndarray,
    answer: Answer,
    infer_ms: float,
    previous_ms: float | None,
    ignored: Sequence[str],
) -> bytes:
    """Serialize the reply, with durations under openpi's names, in ms."""
    timing = {"infer_ms": infer_ms}
    if previous_ms is not None:
        timing["prev_total_ms"] = previous_ms
    message: dict[str, Any] = {
        "actions": openpi_array(rows),
        "server_timing": timing,
        "policy_timing": {"infer_ms": answer.output.durations.total_ms},
        "handover": answer.described(),
    }
    return pack({**message, "ignored_images": list(ignored)} if ignored else message)


def _rows(spec: PolicySpec, adaptation: Adaptation) -> int:
    """Return how many rows a reply has."""
    if adaptation.rate_hz is None or adaptation.rate_hz == spec.rate_hz:
        return spec.horizon
    return steps_at_rate(spec.horizon, spec.rate_hz, adaptation.rate_hz)


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


def _camera_keys(images: Mapping[str, Any], spec: PolicySpec, is_joints: bool) -> dict[str, str]:
    """Return under which of the images each camera is: by name or, for ALOHA, by openpi's name."""
    wanted = {camera.name: camera.name for camera in spec.cameras}
    if is_joints and len(wanted) == 1 and not wanted.keys() & images.keys():
        wanted = dict.fromkeys(wanted, TOP_CAMERA)
    if not images.keys() >= set(wanted.values()):
        raise InvalidRequest(
            "images", ", ".join(wanted.values()), ", ".join(images)[:200] or "none"
        )
    return wanted


def _frame(images: Mapping[str, Any], key: str, is_joints: bool) -> np.ndarray:
    """Return (3, height, width) or (height, width, 3) uint8 as (height, width, 3)."""
    path = f'images["{key}"]'
    image = read_openpi_array(images[key], path)
    channels = [axis for axis in (0, 2) if image.ndim == 3 and image.shape[axis] == 3]
    if image.dtype != np.uint8 or len(channels) != 1 or 0 in image.shape:
        raise InvalidRequest(
            path, "uint8 (3, height, width) or (height, width, 3)", f"{image.dtype} {image.shape}"
        )
    frame = image if channels == [2] else image.transpose(1, 2, 0)
    return training_square(frame) if is_joints else frame


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
