"""What an operator does to a running server: new tokens, another checkpoint, a look at it."""

import dataclasses
import re
import signal
import subprocess
import sys
import threading
import urllib.request

import grpc
import pytest
from handover_proto import policy_pb2 as pb
from handover_server.errors import ReloadRefused
from handover_server.policies.hold import ALOHA_HOLD, HoldPolicy
from handover_server.security.tokens import TokenCheck
from handover_server.serve.reloads import Reloads

from ..conftest import TIMEOUT_S, wait_until

OLD, NEW = "old-token-0123456789abcdef", "new-token-0123456789abcdef"


def hold(checkpoint_hash):
    return HoldPolicy(dataclasses.replace(ALOHA_HOLD, checkpoint_hash=checkpoint_hash))


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"{OLD}\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def reloading(serve, token_file):
    """reloading(load) serves "old" to whoever shows OLD: the server, and what reloads it."""

    def start(load):
        server = serve(hold("old"), tokens=TokenCheck([OLD]))
        return server, Reloads(server.server, load, token_file)

    return start


def served_to(server, token):
    """The hash of what is served; raises grpc.RpcError for a stranger."""
    shown = (("authorization", f"Bearer {token}"),)
    info = server.stub.GetInfo(pb.GetInfoRequest(), timeout=TIMEOUT_S, metadata=shown)
    return info.checkpoint_hash


def test_a_reload_takes_up_tokens_and_checkpoint_and_one_is_enough_at_a_time(
    reloading, token_file, caplog
):
    loading, gate = threading.Event(), threading.Event()

    def load():
        loading.set()
        assert gate.wait(TIMEOUT_S)
        return hold("new")

    server, reloads = reloading(load)
    token_file.write_text(f"{NEW}\n")
    server.loop.call_soon_threadsafe(reloads.start)
    assert loading.wait(TIMEOUT_S)
    assert served_to(server, NEW) == "old"
    server.loop.call_soon_threadsafe(reloads.start)
    wait_until(lambda: "a reload is in progress" in caplog.text)
    gate.set()
    wait_until(lambda: served_to(server, NEW) == "new")
    with pytest.raises(grpc.RpcError) as caught:
        served_to(server, OLD)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    wait_until(lambda: server.server.totals() == {"reloads": 1, "reload_failures": 0})
    server.loop.call_soon_threadsafe(reloads.start)  # the first is done by now
    wait_until(lambda: server.server.totals() == {"reloads": 2, "reload_failures": 0})


@pytest.mark.parametrize("error", [ReloadRefused("it does not fit"), RuntimeError("a bug")])
def test_what_cannot_be_used_is_told_and_leaves_all_as_it_was(reloading, token_file, caplog, error):
    def load():
        raise error

    server, reloads = reloading(load)
    token_file.write_text("# no token\n")
    server.loop.call_soon_threadsafe(reloads.start)
    wait_until(lambda: server.server.totals() == {"reloads": 0, "reload_failures": 1})
    assert served_to(server, OLD) == "old"
    assert "the former tokens stay: the token file" in caplog.text
    wait_until(lambda: "the former checkpoint is still served" in caplog.text)
    assert str(error) in caplog.text


def test_sighup_reloads_and_the_metrics_port_shows_it(tmp_path):
    command = [
        sys.executable,
        "-m",
        "handover_server.serve.command",
        "--policy",
        "hold",
        "--port",
        "0",
    ]
    extras = ["--metrics-port", "0", "--record", f"{tmp_path}/box", "--record-max-gb", "0.001"]
    process = subprocess.Popen(
        [*command, *extras], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        where = re.search(r"metrics and health: (\S+)\n", process.stderr.readline())[1]
        assert process.stdout.readline().startswith("serving hold on ")

        def get(path):
            with urllib.request.urlopen(where + path, timeout=TIMEOUT_S) as reply:
                return reply.read().decode()

        assert get("/healthz") == "serving\n"
        assert "handover_reloads_total 0.0\n" in get("/metrics")
        assert "handover_recording 1.0\n" in get("/metrics")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "handover_reloads_total 1.0\n" in get("/metrics"))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.wait(TIMEOUT_S)
    assert process.returncode == 0
