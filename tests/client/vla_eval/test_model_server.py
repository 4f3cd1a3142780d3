"""The model server for vla-eval takes what protects a connection as every command does.

The harness is a stand-in here; tests/e2e/test_vla_eval.py runs the real one where it is installed.
"""

import dataclasses
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("grpc")

import handover_client
from handover_client.connection.flags import SecurityFlags

FILE = Path(handover_client.__file__).parent / "vla_eval/model_server.py"


@pytest.fixture
def module(monkeypatch):
    """The module, with what it imports of the harness."""
    names = ("ModelServer", "SessionContext", "IMAGE_RGB", "LANGUAGE", "DimSpec")
    for name in (
        *("anyio", "anyio.to_thread"),
        *("vla_eval", "vla_eval.model_servers", "vla_eval.model_servers.base", "vla_eval.specs"),
    ):
        stand_in = ModuleType(name)
        vars(stand_in).update({each: type(each, (), {}) for each in names})
        monkeypatch.setitem(sys.modules, name, stand_in)
    spec = importlib.util.spec_from_file_location("model_server_of_a_stand_in", FILE)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


class Connected(Exception):
    """What the server would have been asked with."""


@pytest.fixture
def connect(module, monkeypatch):
    """Make a model server; returns the protection of its connection."""

    def stop(address, **how):
        raise Connected(how["security"])

    monkeypatch.setattr(module, "connect_server", stop)

    def make(**flags):
        with pytest.raises(Connected) as connected:
            module.HandoverModelServer("localhost:1", 50.0, **flags)
        return connected.value.args[0]

    return make


def test_the_token_may_be_in_the_environment(connect, monkeypatch, tmp_path):
    monkeypatch.delenv("HANDOVER_TOKEN", raising=False)
    assert connect().token is None
    monkeypatch.setenv("HANDOVER_TOKEN", "of-the-environment")
    assert connect().token == "of-the-environment"
    (tmp_path / "token").write_text("of-the-file\n")
    assert connect(token_file=str(tmp_path / "token")).token == "of-the-file"
    assert connect(tls=True).tls


def test_it_takes_every_flag_that_protects_a_connection(module):
    taken = set(inspect.signature(module.HandoverModelServer.__init__).parameters)
    assert {field.name for field in dataclasses.fields(SecurityFlags)} <= taken
