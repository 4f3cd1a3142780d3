"""Client of openpi's protocol: a WebSocket; an observation in, rows of actions out.

Of a policy it tells nothing that one could go by (its metadata are free), so the user does, in the
file of --spec; Handover's own gateway tells all of it. A camera or group whose name has a slash is
sent under that key, as DROID's and LIBERO's (observation/image), frames (height, width, 3); other
cameras in `images`, as ALOHA's, frames (3, height, width).
"""

import dataclasses
from typing import Any

import numpy as np
from handover_common import printable
from handover_proto import (
    ActionChunk,
    ActionSpec,
    CameraSpec,
    PolicyFailed,
    PolicyRequest,
    PolicySpec,
    StateSpec,
    UnmetPrecondition,
)
from handover_proto.msgpack_wire import as_float32, openpi_array, pack, read_openpi_array

from handover_client.connection.foreign.base import (
    ForeignClient,
    own_info,
    own_words,
    read_message,
    told_info,
)
from handover_client.connection.foreign.duplex import Deadline, Duplex, tls_context
from handover_client.connection.foreign.spec_file import NotTold, ToldSpec
from handover_client.connection.foreign.websocket import WebSocket
from handover_client.errors import InvalidReply

_MOST_METADATA = 1 << 20  # bytes
_MOST_TEXT = 300
# what openpi's ALOHA policies take, as an example of the file
_EXAMPLE = {
    "rate_hz": 50,
    "horizon": 50,
    "cameras": {"cam_high": [480, 640]},
    "state": {"state": [14, "rad, 0 closed to 1 open"]},
    "action": {"actions": [14, "rad, 0 closed to 1 open"]},
}


class OpenpiClient(ForeignClient):
    """A policy behind openpi's server, or a server that speaks as it does."""

    protocol = "openpi"
    _is_ours = False

    def _open(self, deadline: Deadline) -> WebSocket:
        """Connect and read the metadata, which come first."""
        tls = tls_context(self._security)
        duplex = Duplex(*self._place.host_port, tls, deadline)
        try:
            token = self._security.token
            socket = WebSocket(duplex, self._place.place, token, deadline)
            metadata = read_message(_binary(socket.receive(_MOST_METADATA, deadline)))
            self._learn(metadata)
        except BaseException:
            duplex.close()
            raise
        return socket

    def _learn(self, metadata: Any) -> None:
        if not isinstance(metadata, dict):
            raise InvalidReply("metadata", "a map", type(metadata).__name__)
        self._is_ours = "get_info" in metadata
        if not self._is_ours:
            if self._info is None:
                self._info = told_info(_spec(self._told, self.address))
            return
        info = own_info(metadata["get_info"], self.address)
        rate_hz, steps = metadata.get("actions_rate_hz"), metadata.get("actions_steps")
        if not isinstance(rate_hz, float) or type(steps) is not int or not 1 <= steps <= 1 << 16:
            raise InvalidReply("metadata", "the actions' rate and steps", "something else")
        spec = dataclasses.replace(info.spec, rate_hz=rate_hz, horizon=steps)
        _check_present(spec)
        self._info = dataclasses.replace(info, spec=spec)

    def _meet(self, deadline: Deadline) -> None:
        self._link.ping(deadline)

    def _encode(self, request: PolicyRequest) -> bytes:
        observation = request.observation
        state = {name: values[0] for name, values in observation.state.items()}
        message: dict[str, Any] = {"prompt": observation.task, "images": {}}
        if self._is_ours:
            message["state"] = {name: openpi_array(row) for name, row in state.items()}
        else:
            message |= {name: openpi_array(row) for name, row in state.items()}
        for name, (frame,) in observation.cameras.items():
            assert isinstance(frame, np.ndarray), "checked before"
            if "/" in name and not self._is_ours:
                message[name] = openpi_array(frame)
            else:
                message["images"][name] = openpi_array(frame.transpose(2, 0, 1))
        if request.seed is not None:
            message["seed"] = request.seed
        if not message["images"]:
            del message["images"]
        return pack(message)

    def _ask(self, data: bytes, deadline: Deadline) -> ActionChunk:
        self._link.send(data, deadline)
        reply = read_message(_binary(self._link.receive(len(data) + (1 << 22), deadline)))
        if not isinstance(reply, dict):
            raise InvalidReply("reply", "a map with actions", type(reply).__name__)
        rows = as_float32(read_openpi_array(reply.get("actions"), "actions"), "actions")
        widths = [group.dim for group in self.info.spec.action]
        shape = (self.info.spec.horizon, sum(widths))
        if rows.shape != shape:
            raise InvalidReply("actions", f"{shape}, as the spec tells", f"{rows.shape}")
        parts = np.split(rows, np.cumsum(widths)[:-1], axis=1)
        names = [group.name for group in self.info.spec.action]
        words = own_words(reply.get("handover")) if self._is_ours else {}
        return ActionChunk(dict(zip(names, parts, strict=True)), **words)


def _spec(told: ToldSpec, address: str) -> PolicySpec:
    """Return the spec that the user tells; raises NotTold."""
    rate_hz, horizon = told.rate_hz, told.horizon
    cameras, state, action = told.cameras, told.state, told.action
    if rate_hz is None or horizon is None or cameras is None or state is None or action is None:
        known = {key: getattr(told, key) for key in _EXAMPLE if getattr(told, key) is not None}
        missing = ", ".join(key for key in _EXAMPLE if key not in known)
        raise NotTold(address, f"{missing} (here as of openpi's ALOHA)", {**_EXAMPLE, **known})
    return PolicySpec(
        policy="openpi",
        cameras=tuple(CameraSpec(name, 1, *size) for name, size in cameras.items()),
        state=tuple(StateSpec(name, dim, 1, unit) for name, (dim, unit) in state.items()),
        action=tuple(ActionSpec(name, dim, unit=unit) for name, (dim, unit) in action.items()),
        horizon=horizon,
        rate_hz=rate_hz,
        device="",
        dtype="",
    )


def _check_present(spec: PolicySpec) -> None:
    back = [part.name for part in (*spec.cameras, *spec.state) if part.steps != 1]
    if back:
        raise UnmetPrecondition(
            f"the policy looks back in time ({', '.join(back)}), for which openpi's protocol has "
            "no place: use HOST:PORT of the same server"
        )


def _binary(message: bytes | str) -> bytes:
    """Return a message's bytes; a text is an error, of openpi's server a whole traceback."""
    if isinstance(message, bytes):
        return message
    lines = [line for line in message.splitlines() if line.strip()] or ["no reason given"]
    raise PolicyFailed(f"the server failed: {printable(lines[-1].strip()[:_MOST_TEXT])}")
