"""Another checkpoint for a running server: no request lost, no client surprised."""

import dataclasses
import sys
import threading
import time

import pytest
from handover_proto import policy_pb2 as pb
from handover_proto.types import CameraSpec, TrainingRecord
from handover_proto.wire.messages import decode_chunk
from handover_server.errors import ReloadRefused
from handover_server.inference.reload import check_fits
from handover_server.policies.hold import ALOHA_HOLD, HoldPolicy

TIMEOUT_S = 60


def hold(checkpoint_hash, **changes):
    return HoldPolicy(dataclasses.replace(ALOHA_HOLD, checkpoint_hash=checkpoint_hash, **changes))


def test_under_load_every_request_is_answered_by_one_of_the_two(serve, message):
    server = serve(hold("0" * 64))
    stop, replies, failures = threading.Event(), [], []

    def ask():
        while not stop.is_set():
            try:
                replies.append(decode_chunk(server.infer(message())).checkpoint_hash[:1])
            except Exception as error:
                failures.append(error)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    for digit in "012345":
        if digit != "0":
            server.run(server.server.replace(lambda digit=digit: hold(digit * 64)))
        until = time.monotonic() + TIMEOUT_S
        while digit not in replies[-50:] and not failures and time.monotonic() < until:
            time.sleep(0.002)  # the clients and the server share this process's interpreter
    stop.set()
    for client in clients:
        client.join(TIMEOUT_S)
    assert failures == []
    assert set(replies) == set("012345")
    assert replies[-1] == "5"


def test_a_request_under_way_is_answered_by_the_policy_that_began_it(serve, gated, message):
    server = serve(gated)
    in_flight = server.stub.Infer.future(message(sequence=1), timeout=TIMEOUT_S)
    gated.wait_until_busy()
    spec = dataclasses.replace(gated.spec, checkpoint_hash="new")
    server.run(server.server.replace(lambda: HoldPolicy(spec)))
    waiting = server.stub.Infer.future(message(sequence=2), timeout=TIMEOUT_S)
    gated.let_through()
    assert in_flight.result().checkpoint_hash == ""
    assert waiting.result().checkpoint_hash == "new"


def test_info_names_the_new_checkpoint(serve):
    server = serve(hold("old"))
    server.run(server.server.replace(lambda: hold("new", processor_hash="p")))
    info = server.stub.GetInfo(pb.GetInfoRequest(), timeout=TIMEOUT_S)
    assert (info.checkpoint_hash, info.processor_hash) == ("new", "p")


def test_a_policy_that_cannot_be_loaded_or_warmed_up_changes_nothing(serve, message):
    class Broken(HoldPolicy):
        def infer(self, requests):
            raise RuntimeError("NaN")

    class Large(HoldPolicy):
        def infer(self, requests):
            if len(requests) > 3:
                raise MemoryError
            return super().infer(requests)

    def missing():
        raise FileNotFoundError("model.safetensors")

    server = serve(hold("old"))
    with pytest.raises(FileNotFoundError):
        server.run(server.server.replace(missing))
    with pytest.raises(RuntimeError):
        server.run(server.server.replace(Broken))
    with pytest.raises(ReloadRefused, match="memory for batches of 3, and batches of 8 are in use"):
        server.run(server.server.replace(Large))
    with pytest.raises(ReloadRefused, match="its horizon differs"):
        server.run(server.server.replace(lambda: hold("new", horizon=8)))
    assert server.infer(message()).checkpoint_hash == "old"


def test_a_library_that_ends_the_process_ends_the_reload_alone(serve, message):
    server = serve(hold("old"))
    with pytest.raises(RuntimeError, match="SystemExit"):
        server.run(server.server.replace(lambda: sys.exit(1)))
    assert server.infer(message()).checkpoint_hash == "old"


@pytest.mark.parametrize(
    "changes",
    [
        {"cameras": (CameraSpec("wrist"),)},
        {"horizon": 8},
        {"state": ALOHA_HOLD.state[:-1]},
        {"rate_hz": 50.0},
        {"embodiment_tag": "other"},
        {"supports_prefix": True},
        {"policy": "other"},
    ],
)
def test_what_clients_were_told_may_not_change(changes):
    (name,) = changes
    with pytest.raises(ReloadRefused, match=f"its {name} differs from what connected clients"):
        check_fits(ALOHA_HOLD, dataclasses.replace(ALOHA_HOLD, **changes))


def test_a_difference_is_told_in_a_line_however_long_the_values_are():
    many = dataclasses.replace(ALOHA_HOLD, cameras=tuple(CameraSpec(f"{n}") for n in range(100)))
    with pytest.raises(ReloadRefused) as caught:
        check_fits(ALOHA_HOLD, many)
    assert len(str(caught.value)) < 500


def test_weights_and_where_they_came_from_may_change():
    record = TrainingRecord("cubes", "ab", (1, 2))
    new = dataclasses.replace(ALOHA_HOLD, checkpoint_hash="1", training=(record,), max_batch=16)
    check_fits(ALOHA_HOLD, new)
    with pytest.raises(ReloadRefused, match="takes batches of 8, and batches of 16 are in use"):
        check_fits(new, ALOHA_HOLD)
