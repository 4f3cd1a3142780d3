"""`handover replay-requests`: what a real server recorded, sent to it once more."""

import dataclasses
import shutil
import time

import numpy as np
import pytest
from handover_client.cli import run
from handover_client.policy_client import PolicyClient
from handover_proto.contract import Observation
from handover_proto.embodiment import aloha_state_groups
from handover_proto.recording import (
    RecordedAnswer,
    frame,
    read_recording,
    segment_path,
    segment_start,
    segments_of,
)

from .serving import ServerProcess


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
        data += frame(record)
    segment_path(changed, 1).write_bytes(data)
    assert run(["replay-requests", "--recording", str(changed), "--server", address]) == 1
    out, error = capsys.readouterr()
    assert "waist, step 3, value 1:" in out
    assert "were answered by another, 0ld0ld0ld0ld" in out
    assert "of 3 answers are not what was recorded" in error


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
    command = ["replay-requests", "--recording", str(folder), "--server", address]
    assert run([*command, *arguments]) == status
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
