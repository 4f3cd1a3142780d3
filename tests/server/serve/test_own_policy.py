"""One's own policy behind the server: the example of docs/serving.md, how it stops, its errors."""

import dataclasses
import re
import signal
import subprocess
import sys
import threading

import grpc
import handover_server
import numpy as np
import pytest
from handover_common.errors import UsageError
from handover_proto.errors import NotAuthorised
from handover_proto.policy_pb2_grpc import PolicyServiceStub
from handover_proto.types import ActionSpec, PolicyOutput
from handover_proto.validation import example_request
from handover_proto.wire.messages import decode_chunk
from handover_server import HoldPolicy, ServingError, serve_in_thread, serve_policy
from handover_server.policies.hold import ALOHA_HOLD

from ..conftest import ROOT, TIMEOUT_S, encode_request, typed


def infer(address, request, metadata=()):
    with grpc.insecure_channel(address) as channel:
        message = encode_request(request)
        call = PolicyServiceStub(channel).Infer
        try:
            return decode_chunk(call(message, timeout=TIMEOUT_S, metadata=metadata))
        except grpc.RpcError as error:
            raise typed(error) from error


def test_the_example_of_the_docs_runs_as_it_stands(monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/serving.md").read_text(), re.DOTALL)
    (code,) = (block for block in blocks if "serve_policy(" in block)
    served = []

    def serve_on_a_free_port(policy, host="127.0.0.1", port=50051):
        with serve_in_thread(policy, host) as server:
            request = example_request(policy.spec)
            request.observation.state["arm"][:] = [0.5, -0.02, 0, 0, 0, 2]
            served.append((port, infer(server.address, request)))

    monkeypatch.setattr(handover_server, "serve_policy", serve_on_a_free_port)
    exec(compile(code, "docs/serving.md", "exec"), {"__name__": "__main__"})
    ((port, chunk),) = served
    assert port == 50051
    np.testing.assert_allclose(chunk.action["arm"][0], [0.45, 0, 0, 0, 0, 1.95], atol=1e-6)
    np.testing.assert_allclose(chunk.action["arm"][-1], [0, 0, 0, 0, 0, 1.2], atol=1e-6)


PROGRAM = """
from handover_server import HoldPolicy, serve_policy
serve_policy(HoldPolicy, port=0, drain_s=60)
print("stopped")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_returns_when_it_is_told_to_stop(number):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        found = re.fullmatch(r"serving hold on (127\.0\.0\.1:\d+)\n", process.stdout.readline())
        assert infer(found[1], example_request(ALOHA_HOLD)).action
        process.send_signal(number)
        rest, log = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.wait(TIMEOUT_S)
    assert (process.returncode, rest, log) == (0, "stopped\n", "")


class DoublePolicy(HoldPolicy):
    """Answers in float64."""

    def infer(self, requests):
        actions = [output.action for output in super().infer(requests)]
        return [PolicyOutput({k: v.astype(float) for k, v in each.items()}) for each in actions]


class DictPolicy(HoldPolicy):
    """Answers with plain dicts."""

    def infer(self, requests):
        return [dict(output.action) for output in super().infer(requests)]


class Bare:
    """Has a spec and nothing else."""

    spec = ALOHA_HOLD

    def __init__(self, **changes):
        self.spec = dataclasses.replace(ALOHA_HOLD, **changes)


class Silent(Bare):
    """A policy that is never asked."""

    def infer(self, requests):
        raise AssertionError("not asked")


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (3, "a policy has a `spec` .* got int"),
        (object, "a policy has a `spec` .* got object"),
        (Bare(), "a policy has a `spec` .* got Bare"),
        (Silent(horizon=0), "horizon is 0, expected 1 or more"),
        (Silent(action=()), "number of action groups is 0"),
        (Silent(action=(ActionSpec("waist", 0),)), "waist's dim is 0"),
        (Silent(rate_hz=0.0), "rate_hz is 0.0, expected the rate above 0"),
        (DoublePolicy(), r"output for the warm-up request is bad: left_arm is float64 \(16, 7\)"),
        (DictPolicy, "output for the warm-up request is bad: a dict, expected a PolicyOutput"),
    ],
)
def test_a_policy_that_cannot_be_served_is_told_why(policy, reason):
    with pytest.raises(ServingError, match=reason), serve_in_thread(policy):
        pass


def test_a_port_in_use_is_told():
    with serve_in_thread(HoldPolicy()) as server:
        said = rf"cannot listen on 127.0.0.1:{server.port}: Address already in use"
        with pytest.raises(ServingError, match=said):
            serve_policy(HoldPolicy(), port=server.port)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"host": "0.0.0.0"}, "--host 0.0.0.0 would serve anyone on the network"),
        ({"max_batch": 0}, "--max-batch is 0, expected 1 or more"),
        ({"checkpoint": "c"}, "takes no checkpoint; it takes batch_window_ms, client_ca, "),
        ({"max_bach": 1}, "takes no max_bach; it takes "),
    ],
)
def test_unsafe_or_unknown_flags_are_refused(flags, reason):
    with pytest.raises(UsageError, match=reason):
        serve_policy(HoldPolicy(), **flags)


def test_outside_the_main_thread_another_function_is_named():
    caught = []

    def serve():
        with pytest.raises(UsageError, match="use serve_in_thread") as error:
            serve_policy(HoldPolicy(), port=0)
        caught.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join(TIMEOUT_S)
    assert caught


def test_the_flags_of_the_command_work(tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-0123456789abcdef\n")
    tokens.chmod(0o600)
    with serve_in_thread(HoldPolicy, token_file=str(tokens), metrics_port=0) as server:
        request = example_request(ALOHA_HOLD)
        shown = (("authorization", "Bearer a-token-0123456789abcdef"),)
        assert infer(server.address, request, shown).action
        with pytest.raises(NotAuthorised):
            infer(server.address, request)
        assert server.totals() == {"reloads": 0, "reload_failures": 0}


RELOADED = """
import sys
from handover_server import HoldPolicy, serve_policy

def make():
    print("made", flush=True)
    return HoldPolicy()

serve_policy(make if sys.argv[1] == "function" else HoldPolicy(), port=0)
"""


@pytest.mark.parametrize("given", ["function", "object"])
def test_an_object_is_not_reloaded_but_what_makes_one_is(given):
    process = subprocess.Popen(
        [sys.executable, "-c", RELOADED, given],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        if given == "function":
            assert process.stdout.readline() == "made\n"
        assert process.stdout.readline().startswith("serving hold on ")
        process.send_signal(signal.SIGHUP)
        if given == "function":
            assert process.stdout.readline() == "made\n"
        else:
            assert "still served: it is an object" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.wait(TIMEOUT_S)
    assert process.returncode == 0
