"""Validation of requests against a policy's spec, by the same rules on both sides.

Also makes the example request that fits a spec.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from handover_proto.errors import InvalidRequest, UnmetPrecondition
from handover_proto.types import (
    MAX_TAG_BYTES,
    ActionPrefix,
    EncodedImage,
    Frame,
    Limits,
    Observation,
    PolicyRequest,
    PolicySpec,
)

_FRAMING_BYTES = 64 * 1024  # names, shapes, lengths and the tag of a request
_SIDE = 256  # pixels of an example frame, where the checkpoint does not name its cameras' size


def example_request(
    spec: PolicySpec, frame: Frame | None = None, *, with_prefix: bool = False
) -> PolicyRequest:
    """Return a request that fits a spec: a zero state, a task, seed 0.

    frame: what every camera shows; None for gray of the camera's size. with_prefix: as if the robot
    still had a chunk of zeros to execute (real-time chunking).
    """
    cameras: dict[str, list[Frame]] = {}
    for camera in spec.cameras:
        gray = np.full((camera.height or _SIDE, camera.width or _SIDE, 3), 128, np.uint8)
        cameras[camera.name] = [gray if frame is None else frame] * camera.steps
    state = {group.name: np.zeros((group.steps, group.dim), np.float32) for group in spec.state}
    rest = {group.name: np.zeros((spec.horizon, group.dim), np.float32) for group in spec.action}
    prefix = ActionPrefix(rest, 1) if with_prefix else None
    return PolicyRequest(Observation(cameras, state, "stand still"), seed=0, prefix=prefix)


def message_limit(spec: PolicySpec, limits: Limits) -> int:
    """Return how many bytes a request for `spec` can need at most, within `limits`.

    That is every frame raw and of as many pixels as are allowed, the task in UTF-8, state and
    prefix as float32, and room for what frames them.
    """
    pixels = sum(camera.steps for camera in spec.cameras) * limits.max_image_pixels
    numbers = sum(group.steps * group.dim for group in spec.state)
    numbers += spec.horizon * sum(group.dim for group in spec.action)
    needed = 3 * pixels + 4 * (numbers + limits.max_task_chars) + _FRAMING_BYTES
    return min(needed, limits.max_message_bytes)


def check_request(request: PolicyRequest, spec: PolicySpec, limits: Limits) -> None:
    """Raise InvalidRequest or UnmetPrecondition unless `request` is what `spec` asks for."""
    tag_bytes = len(_utf8("client_tag", request.client_tag))
    if tag_bytes > MAX_TAG_BYTES:
        raise InvalidRequest("client_tag", f"at most {MAX_TAG_BYTES} bytes", f"{tag_bytes}")
    _check_counter("sequence", request.sequence)
    if request.seed is not None:
        _check_counter("seed", request.seed)
    if request.max_age_ms is not None and not 1 <= request.max_age_ms < 2**32:
        raise InvalidRequest("max_age_ms", "1 to 2^32-1 milliseconds", f"{request.max_age_ms}")
    _check_task(request.observation.task, limits)
    _check_cameras(request.observation, spec, limits)
    _check_state(request.observation, spec)
    if request.prefix is not None:
        _check_prefix(request.prefix, spec)


def _check_counter(field: str, value: int) -> None:
    if not 0 <= value < 2**64:
        raise InvalidRequest(field, "an integer from 0 to 2^64-1", str(value))


def _check_task(task: str, limits: Limits) -> None:
    if not task.strip():
        raise InvalidRequest("observation.task", "an instruction in words", repr(task[:40]))
    if len(task) > limits.max_task_chars:
        raise InvalidRequest(
            "observation.task", f"at most {limits.max_task_chars} characters", f"{len(task)}"
        )
    _utf8("observation.task", task)


def _utf8(field: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, as a broken argument or file name has
        raise InvalidRequest(field, "text that UTF-8 can hold", ascii(text[:40])) from None


def _check_cameras(observation: Observation, spec: PolicySpec, limits: Limits) -> None:
    check_names("observation.cameras", observation.cameras, [cam.name for cam in spec.cameras])
    for camera in spec.cameras:
        path = f'observation.cameras["{camera.name}"]'
        frames = observation.cameras[camera.name]
        if len(frames) != camera.steps:
            raise InvalidRequest(path, f"{camera.steps} frame(s)", f"{len(frames)}")
        for index, frame in enumerate(frames):
            _check_frame(f"{path}.frames[{index}]", frame, limits)


def _check_frame(path: str, frame: Frame, limits: Limits) -> None:
    if isinstance(frame, EncodedImage):
        return  # decode_image reads its size from the file
    is_frame = isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3
    if not is_frame or frame.shape[2] != 3 or 0 in frame.shape:
        raise InvalidRequest(path, "a uint8 array (height, width, 3)", _describe(frame))
    if frame.shape[0] * frame.shape[1] > limits.max_image_pixels:
        raise InvalidRequest(
            path,
            f"at most {limits.max_image_pixels} pixels",
            f"{frame.shape[0]}x{frame.shape[1]}",
        )


def _check_state(observation: Observation, spec: PolicySpec) -> None:
    path = "observation.state"
    check_names(path, observation.state, [group.name for group in spec.state])
    shapes = {group.name: (group.steps, group.dim) for group in spec.state}
    _check_floats(path, observation.state, shapes)


def _check_prefix(prefix: ActionPrefix, spec: PolicySpec) -> None:
    if not spec.supports_prefix:
        raise UnmetPrecondition(
            "prefix: this server's policy has no real-time chunking; send none "
            "(see supports_prefix in GetInfo)"
        )
    check_names("prefix.action", prefix.action, [group.name for group in spec.action])
    steps = {np.asarray(values).shape[:1] for values in prefix.action.values()}
    if len(steps) != 1 or not all(len(n) == 1 and 1 <= n[0] <= spec.horizon for n in steps):
        raise InvalidRequest(
            "prefix.action", f"1 to {spec.horizon} steps, as many in every group", f"{steps}"
        )
    (count,) = steps.pop()
    shapes = {group.name: (count, group.dim) for group in spec.action}
    _check_floats("prefix.action", prefix.action, shapes)
    if not 0 <= prefix.delay_steps <= count:
        raise InvalidRequest("prefix.delay_steps", f"0 to {count}", f"{prefix.delay_steps}")


def check_names(path: str, given: Iterable[str], wanted: Iterable[str]) -> None:
    """Raise InvalidRequest unless `given` are the `wanted` names, in any order."""
    given, wanted = list(given), list(wanted)
    if set(given) != set(wanted):
        missing = [name for name in wanted if name not in given]
        unknown = [name for name in given if name not in wanted]
        got = "; ".join(
            f"{kind} {', '.join(repr(name[:40]) for name in names[:8])}"
            for kind, names in (("missing", missing), ("unknown", unknown))
            if names
        )
        raise InvalidRequest(path, f"exactly {', '.join(wanted) or 'none'}", got)


def are_finite(groups: Iterable[np.ndarray]) -> bool:
    """Return whether no group of floats holds a NaN or an infinity.

    All are checked in one call: for so few numbers the cost is numpy's calls.
    """
    return bool(np.isfinite(np.concatenate([values.ravel() for values in groups])).all())


def _check_floats(
    path: str, groups: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, int]]
) -> None:
    for name, shape in shapes.items():
        values = groups[name]
        is_float32 = isinstance(values, np.ndarray) and values.dtype == np.float32
        if not is_float32 or values.shape != shape:
            raise InvalidRequest(f'{path}["{name}"]', f"float32 {shape}", _describe(values))
    if not shapes or are_finite(groups.values()):
        return
    for name, values in groups.items():
        for first in map(tuple, np.argwhere(~np.isfinite(values))[:1].tolist()):
            got = f"{values[first]} at {first}"
            raise InvalidRequest(f'{path}["{name}"]', "finite numbers", got)


def _describe(values: object) -> str:
    """Return an array's dtype and shape, or the type of anything else that a caller may pass."""
    if isinstance(values, np.ndarray):
        return f"{values.dtype} {values.shape}"
    return type(values).__name__
