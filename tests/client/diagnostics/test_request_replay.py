"""`handover replay-requests`: what a real server recorded, sent to it once more."""

import dataclasses
import shutil
import time

import grpc
import numpy as np
import pytest
from handover_client.commands.main import run
from handover_client.connection.policy_client import PolicyClient
from handover_client.diagnostics.request_replay import compare_recording, first_difference
from handover_proto.embodiment import aloha_state_groups
from handover_proto.errors import Overloaded
from handover_proto.request_log import (
    RecordedAnswer,
    RecordedRequest,
    encode_record,
    read_recording,
    segment_path,
    segment_start,
    segments_of,
)
from handover_proto.types import Observation, PolicyRequest
from handover_proto.wire.messages import ERROR_METADATA_KEY, encode_error, serialize_request

from ..conftest import hold
from ..serving import ServerProcess


def observation(step):
    frame = np.full((32, 32, 3), step, np.uint8)
    return Observation({"ego_view": [frame]}, aloha_state_groups(np.full(14, step / 100)), "lift")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A recording of three requests, and the server that made it, killed and started again."""
    place = tmp_path_factory.mktemp("recorded")
    folder = place / "box"
    with ServerProcess("--policy", "hold", "--record", folder, log=place / "log") as server:
        with PolicyClient.connect(server.wait()) as client:
            for step in range(3):
                client.infer(observation(step), sequence=step, max_age_ms=60_000)
        until_s = time.monotonic() + 60
        while sum(isinstance(each, RecordedAnswer) for each in read_recording(folder)) < 3:
            assert time.monotonic() < until_s
            time.sleep(0.05)
        server.kill()
        before = shutil.copytree(folder, place / "before")  # the next one records what it is sent
        server.port = 0
        server.start()
        yield before, server.wait()


def test_the_same_server_gives_the_same_bits(recorded, capsys):
    folder, address = recorded
    assert run(["replay-requests", "--recording", str(folder), "--server", address]) == 0
    printed = capsys.readouterr().out
    assert "recorded    3 requests; answers: ok 3; 0 without" in printed
    assert "damaged     nothing" in printed
    assert "identical   3" in printed


def test_a_torn_tail_is_told_and_the_rest_is_compared(recorded, capsys, tmp_path):
    folder, address = recorded
    first = segments_of(folder)[0]
    torn = tmp_path / "torn"
    torn.mkdir()
    segment_path(torn, 1).write_bytes(first.read_bytes()[:-10])
    assert run(["replay-requests", "--recording", str(torn), "--server", address]) == 0
    printed = capsys.readouterr().out
    assert "recorded    3 requests; answers: ok 2; 1 without" in printed
    assert "1 place(s) skipped" in printed
    assert "the first: torn, byte" in printed
    assert "identical   2" in printed


def test_other_bits_are_told_by_place_and_are_a_failure(recorded, capsys, tmp_path):
    folder, address = recorded
    changed = tmp_path / "changed"
    changed.mkdir()
    data = segment_start()
    for record in read_recording(folder):
        if isinstance(record, RecordedAnswer) and record.number % 2:
            action = {name: values.copy() for name, values in record.action.items()}
            action["waist"][3, 1] = np.nextafter(action["waist"][3, 1], np.float32(1))
            record = dataclasses.replace(record, action=action, checkpoint_hash="0ld" * 20)
        data += encode_record(record)
    segment_path(changed, 1).write_bytes(data)
    assert run(["replay-requests", "--recording", str(changed), "--server", address]) == 1
    out, error = capsys.readouterr()
    assert "waist, step 3, value 1:" in out
    assert "were answered by another, 0ld0ld0ld0ld" in out
    assert "of 3 answers are not what was recorded" in error


def test_what_is_compared_refused_and_left_out_is_counted(start_server, observation, tmp_path):
    """Of seven requests, one has no answer and one an error; an eighth is known by its answer."""
    asked = []

    def answer(request, context):
        asked.append((request.sequence, request.seed, request.HasField("max_age_ms")))
        if request.sequence == 1:
            context.abort(grpc.StatusCode.INTERNAL, "a broken policy")
        if len(asked) == 3:  # sequence 2 is asked once more
            detail = encode_error(Overloaded("full", 0.001)).SerializeToString()
            context.set_trailing_metadata(((ERROR_METADATA_KEY, detail),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        return hold(request, context)

    arm, hand = (np.repeat(observation.state[name], 4, axis=0) for name in ("arm", "hand"))
    actions = {
        0: {"arm": arm, "hand": hand},
        1: {"arm": arm, "hand": hand},
        2: {"arm": arm, "hand": hand},
        3: {"arm": arm[:3], "hand": hand},
        4: {"arm": arm},
        5: {},
    }
    data = segment_start()
    for number in range(7):
        request = PolicyRequest(observation, sequence=number, max_age_ms=5)
        data += encode_record(RecordedRequest("s", number, 0, "me", serialize_request(request)))
    for number, action in actions.items():
        outcome = "ok" if action else "internal"
        data += encode_record(RecordedAnswer("s", number, outcome, "", number + 9, "0ld", action))
    data += encode_record(RecordedAnswer("s", 99, "ok", action=actions[0]))
    segment_path(tmp_path, 1).write_bytes(data)
    with PolicyClient.connect(start_server(answer=answer).address) as client:
        found = compare_recording(tmp_path, client, None)
        fewer = compare_recording(tmp_path, client, 2)
    assert found.requests == 7
    assert found.outcomes == {"ok": 5, "internal": 1}
    assert found.checkpoints == {"0ld": 5}
    assert (found.sent, found.identical, found.refused) == (5, 2, 1)
    assert "a broken policy" in found.first
    assert found.first.startswith("request 1, sequence 1: ")
    assert asked[:6] == [(number, number + 9, False) for number in (0, 1, 2, 2, 3, 4)]
    assert (fewer.sent, fewer.identical, fewer.refused) == (2, 1, 1)


def test_other_shapes_and_groups_are_told_as_such():
    values = np.zeros((2, 3), np.float32)
    differing = first_difference
    assert differing({"arm": values}, {"arm": values.copy()}) == ""
    assert differing({"arm": values}, {"hand": values}) == "the groups are hand, recorded arm"
    expected = "arm is float32 (2, 3), recorded float32 (1, 3)"
    assert differing({"arm": values[:1]}, {"arm": values}) == expected
    assert differing({"arm": values}, {"arm": -values}).startswith("arm, step 0, value 0: -0,")


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["--limit", "0"], 2, "--limit is 0, expected 1 or more"),
        (["--call-timeout-s", "0"], 2, "--call-timeout-s is 0, expected above 0"),
        (["--connect-timeout-s", "nan"], 2, "--connect-timeout-s is nan, expected above 0"),
        (["--recording", "none"], 1, "none holds no recording"),
    ],
)
def test_what_makes_no_sense_is_one_line(recorded, capsys, arguments, status, line):
    folder, address = recorded
    recording = [] if "--recording" in arguments else ["--recording", str(folder)]
    command = ["replay-requests", "--server", address, *recording, *arguments]
    assert run(command) == status
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
