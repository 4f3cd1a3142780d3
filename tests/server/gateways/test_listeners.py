"""The rule of --host holds for the gateways' ports, and a missing package is named."""

import asyncio
import socket
import sys
from pathlib import Path

import pytest
from handover_common.errors import MissingExtra, UsageError
from handover_server.errors import ServingError
from handover_server.gateways.listeners import Gateways, GatewaySettings
from handover_server.policies.hold import HoldPolicy
from handover_server.rpc.server import PolicyServer
from handover_server.rpc.settings import ServerSettings
from handover_server.serve.command import main
from handover_server.serve.config import ServeConfig, check

from .conftest import TIMEOUT_S

PEM = Path("x.pem")


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"gateway_host": "0.0.0.0"}, "--gateway-host 0.0.0.0"),
        ({"openpi_port": 70000}, "--openpi-port is 70000"),
        ({"groot_zmq_port": -1}, "--groot-zmq-port is -1"),
        ({"openpi_rate_hz": 0.0}, "--openpi-rate-hz"),
        ({"openpi_port": 0}, "--openpi-port needs --openpi-rate-hz HZ"),
        (
            {
                "gateway_host": "0.0.0.0",
                "groot_zmq_port": 0,
                "tls_cert": PEM,
                "tls_key": PEM,
                "token_file": PEM,
            },
            "ZMQ has no TLS",
        ),
        (
            {"groot_zmq_port": 0, "tls_cert": PEM, "tls_key": PEM, "client_ca": PEM},
            "--client-ca",
        ),
    ],
)
def test_unsafe_or_senseless_flags_are_refused(flags, reason):
    with pytest.raises(UsageError, match=reason):
        main(ServeConfig(policy="hold", **flags))


@pytest.mark.parametrize(
    ("port", "package"), [("openpi_port", "websockets"), ("groot_zmq_port", "zmq")]
)
def test_a_taken_port_is_one_clear_line(serve, port, package):
    pytest.importorskip(package)
    taken = serve(HoldPolicy()).server.port

    async def start():
        server = PolicyServer(HoldPolicy, ServerSettings(gateways=GatewaySettings(**{port: taken})))
        await server.listen()
        try:
            await server.become_ready()
        finally:
            assert await server.drain(TIMEOUT_S)

    with pytest.raises(ServingError, match=rf"cannot listen on 127.0.0.1:{taken}: .*another port"):
        asyncio.run(start())


@pytest.mark.parametrize(
    ("port", "package"), [("openpi_port", "websockets"), ("groot_zmq_port", "zmq")]
)
def test_a_server_that_has_stopped_leaves_the_port(serve, port, package):
    pytest.importorskip(package)
    running = serve(HoldPolicy(), gateways=GatewaySettings(**{port: 0}))
    place = ("127.0.0.1", getattr(running.server.gateways, port))
    socket.create_connection(place, TIMEOUT_S).close()
    assert running.run(running.server.drain(TIMEOUT_S))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(place, TIMEOUT_S)


def test_insecure_opens_the_zmq_port_too():
    open_to_all = {"gateway_host": "0.0.0.0", "groot_zmq_port": 0, "insecure": True}
    check(ServeConfig(policy="hold", **open_to_all))
    check(ServeConfig(policy="hold", tls_cert=PEM, tls_key=PEM, client_ca=PEM, **open_to_all))


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "websockets", None)
    with pytest.raises(MissingExtra, match=r"the extra 'gateways'.*pip install -e .\.\[gateways\]"):
        Gateways(GatewaySettings(openpi_port=0))
