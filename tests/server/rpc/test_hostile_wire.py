"""Clients that break HTTP/2's and gRPC's framing: refused before their claims cost anything."""

import socket
import struct

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from handover_server.inference.shares import AdmissionLimits
from handover_server.policies.hold import HoldPolicy

TIMEOUT_S = 60
DATA, HEADERS, SETTINGS = 0, 1, 4
INFER = b"/handover.policy.v1.PolicyService/Infer"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """An HTTP/2 frame: RFC 9113, section 4.1."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header_block(**headers: str) -> bytes:
    """Literal header fields without Huffman coding: RFC 7541, section 6.2.2."""
    pseudo = {":method": "POST", ":scheme": "http", ":path": INFER.decode(), ":authority": "x"}
    block = b""
    for name, value in {**pseudo, **headers, "te": "trailers"}.items():
        key = name.replace("_", "-").encode()
        block += bytes([0, len(key)]) + key + bytes([len(value)]) + value.encode()
    return block


def talk(port: int, body: bytes, until: bytes, **headers: str) -> bytes:
    """Open a call by hand, send `body` as its data, and read until `until` or the end."""
    headers = {"content_type": "application/grpc", **headers}
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        connection.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(SETTINGS, 0, 0, b"")
            + frame(HEADERS, 4, 1, header_block(**headers))
            + frame(DATA, 0, 1, body)
        )
        answer = b""
        while until not in answer:
            received = connection.recv(65536)
            if not received:
                break
            answer += received
    return answer


def test_a_message_that_claims_a_gibibyte_is_refused_at_its_first_bytes(serve, message):
    server = serve(HoldPolicy())
    until = b"larger than max (1073741824 vs. 33554432)"
    assert until in talk(server.server.port, b"\0" + struct.pack(">I", 1 << 30) + b"abc", until)
    assert server.infer(message()).action


@pytest.mark.parametrize("size", [2000, 40 << 20])
def test_a_compressed_message_is_refused_before_it_is_decompressed(serve, message, size):
    server = serve(HoldPolicy())
    call = server.channel.unary_unary(INFER.decode())
    with pytest.raises(grpc.RpcError) as caught:
        call(bytes(size), timeout=TIMEOUT_S, compression=grpc.Compression.Gzip)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "'gzip' is disabled" in caught.value.details()
    assert server.infer(message()).action


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", bytes(4096)])
def test_another_protocol_on_the_port_is_hung_up_on(serve, message, junk):
    server = serve(HoldPolicy())
    with socket.create_connection(("127.0.0.1", server.server.port), timeout=60) as connection:
        connection.sendall(junk)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    assert server.infer(message()).action


def test_a_client_that_stops_in_the_middle_of_a_message_holds_nobody_up(serve, message):
    server = serve(HoldPolicy())
    data = message().SerializeToString()
    body = b"\0" + struct.pack(">I", len(data)) + data[:1000]
    with socket.create_connection(("127.0.0.1", server.server.port), timeout=60) as connection:
        connection.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(SETTINGS, 0, 0, b"")
            + frame(HEADERS, 4, 1, header_block(content_type="application/grpc"))
            + frame(DATA, 0, 1, body)
        )
        for _ in range(5):
            assert server.infer(message()).action


def test_calls_beyond_a_connections_share_wait_in_the_client(serve):
    server = serve(HoldPolicy(), limits=AdmissionLimits(client_requests=1, client_streams=1))
    health, watch = health_pb2_grpc.HealthStub(server.channel), health_pb2.HealthCheckRequest()
    open_calls = [health.Watch(watch, timeout=TIMEOUT_S) for _ in range(18)]  # 16 beside the two
    assert {next(call).status for call in open_calls} == {health_pb2.HealthCheckResponse.SERVING}
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(watch, timeout=0.5)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    open_calls[0].cancel()
    assert health.Check(watch, timeout=TIMEOUT_S).status == health_pb2.HealthCheckResponse.SERVING
    for call in open_calls:
        call.cancel()
