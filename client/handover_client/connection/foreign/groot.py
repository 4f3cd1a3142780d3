"""Client of Isaac-GR00T's protocol: ZeroMQ; ping, reset, get_modality_config, get_action.

N1.6 sends arrays as .npy files, N1.7 as msgpack-numpy does; the form of the modality configs tells
which, and replies are read in both. What they do not tell (widths, units, the rate) is in the file
of --spec; Handover's own gateway tells all of it. Neither version of the server takes seeds.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from handover_common import UsageError, printable
from handover_proto import (
    ActionChunk,
    ActionSpec,
    CameraSpec,
    NotAuthorised,
    PolicyFailed,
    PolicyRequest,
    PolicySpec,
    StateSpec,
    UnmetPrecondition,
)
from handover_proto.msgpack_wire import as_float32, nd, npy, pack, read_nd, read_npy

from handover_client.connection.foreign.base import (
    ForeignClient,
    own_info,
    own_words,
    read_message,
    told_info,
)
from handover_client.connection.foreign.duplex import Deadline, Duplex
from handover_client.connection.foreign.spec_file import NotTold, ToldSpec
from handover_client.connection.foreign.zmtp import RequestSocket
from handover_client.connection.readiness import check_server_info
from handover_client.errors import InvalidReply

_MARKER_16, _MARKER_17 = "__ModalityConfig_class__", "__ModalityConfig__"
_MOST_TEXT = 300
_MOST_SMALL = 1 << 20  # bytes of a reply without arrays
_OURS = {"handover": True}


class GrootClient(ForeignClient):
    """A policy behind Isaac-GR00T's server, or a server that speaks as it does."""

    protocol = "Isaac-GR00T"
    _is_ours = False
    _array = staticmethod(npy)

    def _open(self, deadline: Deadline) -> RequestSocket:
        if self._security.tls:
            raise UsageError("groot:// has no encryption: ZeroMQ's NULL has none; use a tunnel")
        duplex = Duplex(*self._place.host_port, None, deadline)
        try:
            return RequestSocket(duplex, deadline)
        except BaseException:
            duplex.close()
            raise

    def _meet(self, deadline: Deadline) -> None:
        """Ping; and the first time reset, as before an episode, and learn what is served."""
        self._call("ping", None, deadline)
        if self._info is not None:
            return
        told = self._call("reset", {"options": _OURS}, deadline)
        self._is_ours = isinstance(told, dict) and "get_info" in told
        if self._is_ours:
            self._info = own_info(told["get_info"], self.address)
            return
        configs = self._call("get_modality_config", None, deadline)
        modalities = _modalities(configs)
        self._array = nd if any(_MARKER_17 in each for each in configs.values()) else npy
        info = told_info(_spec(modalities, self._told, self.address))
        check_server_info(info)
        self._info = info

    def _encode(self, request: PolicyRequest) -> bytes:
        spec, observation = self.info.spec, request.observation
        video = {
            name: np.stack([np.asarray(frame) for frame in each])[None]
            for name, each in observation.cameras.items()
        }
        state = {name: np.asarray(each)[None] for name, each in observation.state.items()}
        options = {**_OURS, "seed": request.seed} if self._is_ours else None
        return self._message(
            "get_action",
            {
                "observation": {
                    "video": {name: self._array(each) for name, each in video.items()},
                    "state": {name: self._array(each) for name, each in state.items()},
                    "language": {spec.language_key: [[observation.task]]},
                },
                "options": options,
            },
        )

    def _ask(self, data: bytes, deadline: Deadline) -> ActionChunk:
        spec = self.info.spec
        size = 4 * spec.horizon * sum(group.dim for group in spec.action)
        reply = self._exchange(data, 4 * size + _MOST_SMALL, deadline)
        if not isinstance(reply, list) or len(reply) != 2 or not isinstance(reply[0], dict):
            raise InvalidReply("reply", "a pair of actions and a map", type(reply).__name__)
        action = {
            str(name): as_float32(_read(value, f'action["{name}"]'), f'action["{name}"]')
            for name, value in reply[0].items()
        }
        for name, values in action.items():
            if values.ndim != 3 or values.shape[0] != 1:
                expected = f"(1, {spec.horizon}, dim)"
                raise InvalidReply(f'action["{name}"]', expected, f"{values.shape}")
        words = own_words(reply[1]) if self._is_ours else {}
        return ActionChunk({name: values[0] for name, values in action.items()}, **words)

    def _call(self, endpoint: str, data: Mapping[str, Any] | None, deadline: Deadline) -> Any:
        return self._exchange(self._message(endpoint, data), _MOST_SMALL, deadline)

    def _message(self, endpoint: str, data: Mapping[str, Any] | None) -> bytes:
        token = self._security.token
        return pack(
            {
                "endpoint": endpoint,
                **({} if data is None else {"data": data}),
                **({} if token is None else {"api_token": token}),
            }
        )

    def _exchange(self, data: bytes, most_bytes: int, deadline: Deadline) -> Any:
        reply = read_message(self._link.exchange(data, most_bytes, deadline))
        if isinstance(reply, dict) and "error" in reply:
            text = printable(str(reply["error"]).strip()[:_MOST_TEXT])
            if text.startswith("Unauthorized"):
                raise NotAuthorised(f"the server at {self.address} refused: {text}")
            raise PolicyFailed(f"the server failed: {text}")
        return reply


def _read(value: Any, path: str) -> np.ndarray:
    if isinstance(value, dict) and b"nd" in value:
        return read_nd(value, path)
    return read_npy(value, path)


def _modalities(configs: Any) -> dict[str, tuple[tuple[str, ...], tuple[int, ...]]]:
    """Read names and time steps of video, state, action and language; raises InvalidReply."""
    found = {}
    for kind in ("video", "state", "action", "language"):
        config = configs.get(kind) if isinstance(configs, dict) else None
        if isinstance(config, dict) and (_MARKER_16 in config or _MARKER_17 in config):
            config = config.get("as_json")
        if isinstance(config, str):  # as N1.6 wrote it at first
            try:
                config = json.loads(config)
            except (ValueError, RecursionError):
                config = None
        names = config.get("modality_keys") if isinstance(config, dict) else None
        steps = config.get("delta_indices") if isinstance(config, dict) else None
        if names is None or steps is None or not _are(names, str) or not _are(steps, int):
            expected = "modality_keys and delta_indices"
            raise InvalidReply(f"get_modality_config.{kind}", expected, type(config).__name__)
        found[kind] = tuple(names), tuple(steps)
    return found


def _are(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(type(each) is kind for each in value)


def _spec(
    modalities: Mapping[str, tuple[tuple[str, ...], tuple[int, ...]]], told: ToldSpec, address: str
) -> PolicySpec:
    """Join what the server and the user tell; raises NotTold, or UsageError where they differ."""
    (cameras, frames), (state, moments) = modalities["video"], modalities["state"]
    (action, steps), (language, _) = modalities["action"], modalities["language"]
    if steps != tuple(range(steps[0] if steps else 0, (steps[0] if steps else 0) + len(steps))):
        raise UnmetPrecondition(f"the chunk's steps are {list(steps)[:20]}, expected one by one")
    if len(language) != 1:
        raise UnmetPrecondition(f"the policy wants {len(language)} instructions, expected one")
    if told.rate_hz is None or told.state is None or told.action is None:
        template = {
            "rate_hz": told.rate_hz,
            "state": told.state or {name: [None, None] for name in state},
            "action": told.action or {name: [None, None] for name in action},
        }
        raise NotTold(address, "the rate, and each group's width and unit", template)
    _check_names("state", told.state, state, told.file, address)
    _check_names("action", told.action, action, told.file, address)
    sizes = told.cameras or {}
    if sizes:
        _check_names("cameras", sizes, cameras, told.file, address)
    if told.horizon not in (None, len(steps)):
        raise UsageError(f"--spec {told.file}: horizon: that of {address} is {len(steps)}")
    return PolicySpec(
        policy="Isaac-GR00T",
        cameras=tuple(
            CameraSpec(name, len(frames), *sizes.get(name, (0, 0)), frames) for name in cameras
        ),
        state=tuple(
            StateSpec(name, told.state[name][0], len(moments), told.state[name][1], moments)
            for name in state
        ),
        action=tuple(
            ActionSpec(name, told.action[name][0], unit=told.action[name][1]) for name in action
        ),
        horizon=len(steps),
        rate_hz=told.rate_hz,
        language_key=language[0],
        first_step=steps[0] if steps else 0,
        device="",
        dtype="",
    )


def _check_names(
    kind: str, told: Mapping[str, Any], names: tuple[str, ...], file: str, address: str
) -> None:
    if set(told) != set(names):
        raise UsageError(
            f"--spec {file}: {kind}: {address} has {', '.join(names)}; the file has "
            f"{', '.join(told)}"
        )
