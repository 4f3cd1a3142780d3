"""Isaac-GR00T N1.6's protocol over ZeroMQ: ping, get_modality_config, get_action, reset.

Its clients are REQ sockets; ours is like a ROUTER, so that they do not wait for each other, and a
message with a wrong number of frames gets an error like any other mistake. `kill` is refused.
"""

from collections.abc import Callable
from typing import Any

from handover_proto import MAX_MESSAGE_BYTES, InvalidRequest, NotAuthorised, PolicyError
from handover_proto.msgpack_wire import pack, unpack
from handover_proto.wire import encode_info

from handover_server.gateways.calls import infer_together, refusals_counted
from handover_server.gateways.groot_messages import (
    action_reply,
    error_reply,
    is_ours,
    modality_config_reply,
    read_batch,
)
from handover_server.gateways.zmtp import ZmtpServer
from handover_server.inference.admission import Admission
from handover_server.requests.outcome import record_incident
from handover_server.requests.request import Lane
from handover_server.security.tokens import Identity, TokenCheck

_MAX_ENVELOPE = 3  # parts up to a message's delimiter
_UNAUTHORISED = "Unauthorized: Invalid API token"  # the reference's wording, which clients may know
_KILL = "kill is disabled: the server's operator stops it (SIGTERM)"


class GrootZmqServer:
    """Serves Isaac-GR00T's clients."""

    def __init__(
        self, admission: Admission, tokens: TokenCheck, delivered: Callable[[str, int], None]
    ) -> None:
        """delivered: called with a peer's name and the size of each whole message."""
        self._admission = admission
        self._tokens = tokens
        self._get_info = encode_info(admission.info).SerializeToString()
        self._server = ZmtpServer(self._respond, MAX_MESSAGE_BYTES, delivered)
        self.in_flight = 0  # messages being answered

    async def open(self, host: str, port: int) -> int:
        """Listen and return the port; raises OSError when it cannot be used."""
        return await self._server.open(host, port)

    async def close(self) -> None:
        """Stop answering."""
        await self._server.close()

    async def _respond(self, parts: list[bytes], peer: str) -> list[bytes]:
        """Answer one message, whatever it is: a REQ socket without a reply waits forever."""
        end = parts.index(b"") + 1 if b"" in parts[:_MAX_ENVELOPE] else 0
        envelope, body = parts[:end], parts[end:]
        parts.clear()
        size = sum(map(len, body))
        client = Identity(peer)
        refused = False
        self.in_flight += 1
        try:
            if len(body) != 1:
                raise InvalidRequest("message", "one frame", f"{len(body)}")
            reply = await self._answer(body.pop(), peer)
        except NotAuthorised:
            self._admission.observer.refused("unauthenticated")
            reply, refused = error_reply(_UNAUTHORISED), True
        except PolicyError as error:
            reply, refused = error_reply(str(error)), isinstance(error, InvalidRequest)
        except Exception as error:  # the process's edge: no client's message may end the server
            reply = error_reply(str(record_incident("a ZMQ request failed", error)))
        finally:
            self.in_flight -= 1
        body.clear()
        await self._admission.paces.keep(client, size, refused)
        return [*envelope, reply]

    async def _answer(self, data: bytes, peer: str) -> bytes:
        with refusals_counted(self._admission):
            message = unpack(data)
        del data
        if not isinstance(message, dict):
            raise InvalidRequest("message", "a map with an endpoint", type(message).__name__)
        token = message.get("api_token")
        client = self._tokens.identify(token if isinstance(token, str) else None, peer)
        endpoint = message.get("endpoint", "get_action")
        if endpoint == "get_action":
            return await self._get_action(message.get("data"), client)
        return self._small_answer(endpoint, message.get("data"))

    def _small_answer(self, endpoint: Any, data: Any) -> bytes:
        if endpoint == "ping":
            return pack({"status": "ok", "message": "Server is running"})
        if endpoint == "reset":  # nothing to reset: the server keeps no client's state
            return pack({"get_info": self._get_info} if is_ours(data) else {})
        if endpoint == "get_modality_config":
            return modality_config_reply(self._admission.info.spec)
        if endpoint == "kill":
            return error_reply(_KILL)
        return error_reply(f"Unknown endpoint: {str(endpoint)[:80]}")

    async def _get_action(self, data: Any, client: Identity) -> bytes:
        spec = self._admission.info.spec
        with refusals_counted(self._admission):
            requests = read_batch(data, spec)
        lanes = [Lane(client) for _ in requests]
        answers = await infer_together(self._admission, requests, lanes)
        described = answers[0].described() if is_ours(data) else None
        return action_reply([answer.output for answer in answers], spec, described)
