"""The rule of --host holds for the gateways' ports, and a missing package is named."""

import sys
from pathlib import Path

import pytest
from handover_proto.errors import MissingExtra, UsageError
from handover_server.exposure import check_exposure
from handover_server.gateways.ports import GatewaySettings
from handover_server.serve import ServeConfig, main

PEM = Path("x.pem")


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"gateway_host": "0.0.0.0"}, "--gateway-host 0.0.0.0"),
        ({"openpi_port": 70000}, "--openpi-port is 70000"),
        ({"groot_zmq_port": -1}, "--groot-zmq-port is -1"),
        ({"openpi_rate_hz": 0.0}, "--openpi-rate-hz"),
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


def test_insecure_opens_the_zmq_port_too():
    open_to_all = {"gateway_host": "0.0.0.0", "groot_zmq_port": 0, "insecure": True}
    check_exposure(ServeConfig(policy="hold", **open_to_all))
    check_exposure(
        ServeConfig(policy="hold", tls_cert=PEM, tls_key=PEM, client_ca=PEM, **open_to_all)
    )


@pytest.mark.parametrize(
    ("port", "package"), [("openpi_port", "websockets"), ("groot_zmq_port", "zmq")]
)
def test_a_missing_package_names_its_extra(monkeypatch, port, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=r"handover\[gateways\]"):
        GatewaySettings(**{port: 0}).check_installed()
