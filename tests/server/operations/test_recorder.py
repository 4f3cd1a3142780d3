"""The request recording: complete, bounded, and its troubles are not the robots'."""

import dataclasses
import errno
import gc
import os
import stat
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from handover_proto import policy_pb2 as pb
from handover_proto.errors import InvalidRequest, PolicyFailed
from handover_proto.request_log import (
    RecordedAnswer,
    RecordedRequest,
    RecordedServer,
    read_recording,
    segment_owner,
    segments_of,
)
from handover_proto.types import Limits, ServerInfo
from handover_proto.wire.messages import decode_chunk
from handover_server.errors import ServingError
from handover_server.operations import recorder as recorder_module
from handover_server.operations.recorder import Recorder
from handover_server.operations.segments import SegmentWriter
from handover_server.policies.hold import ALOHA_HOLD, HoldPolicy
from handover_server.requests.request import Lane, PendingRequest
from handover_server.requests.wire_head import RequestHead
from handover_server.security.tokens import Identity, TokenCheck

from ..conftest import Kept, wait_until

MB = 1_000_000


@pytest.fixture
def record(tmp_path, monkeypatch):
    """Start a recorder into tmp_path/"box"; it is closed at the end, however slow the disk is."""
    monkeypatch.setattr(recorder_module, "LAST_S", 60.0)
    opened = []

    def start(max_bytes=100 * MB):
        recorder = Recorder(tmp_path / "box", max_bytes)
        opened.append(recorder)
        return recorder

    yield start
    for recorder in opened:
        recorder.close()


def pending(client="someone"):
    """A request in whose outcome nobody is interested."""
    lane = Lane(Identity(client))
    return PendingRequest(b"", RequestHead(), lane, None, lambda outcome: None)


def by_kind(folder, kind):
    return [record for record in read_recording(folder) if isinstance(record, kind)]


def test_requests_and_chunks_are_kept_as_they_were(serve, noise, message, record, tmp_path):
    recorder = record()
    server = serve(noise, observer=recorder)
    sent = message(sequence=7, client_tag="left")
    chunk = decode_chunk(server.infer(sent))
    recorder.close()
    (info,) = by_kind(tmp_path / "box", RecordedServer)
    (request,) = by_kind(tmp_path / "box", RecordedRequest)
    (answer,) = by_kind(tmp_path / "box", RecordedAnswer)
    assert pb.GetInfoReply.FromString(info.info).checkpoint_hash == "f00d"
    assert pb.InferRequest.FromString(request.message) == sent
    assert request.client.startswith("ipv4:127.0.0.1")
    assert (answer.session, answer.number) == (request.session, request.number)
    assert (answer.outcome, answer.checkpoint_hash, answer.seed) == ("ok", "f00d", chunk.seed)
    assert answer.durations["backbone_ms"] == 2
    assert answer.durations["queue_ms"] > 0
    assert answer.durations["decode_ms"] > 0
    for name, values in chunk.action.items():
        np.testing.assert_array_equal(answer.action[name], values)


def test_errors_are_kept_too(serve, moody, message, record, tmp_path):
    recorder = record()
    server = serve(moody, observer=recorder)
    with pytest.raises(PolicyFailed):
        server.infer_bytes(message(client_tag="raise").SerializeToString())
    recorder.close()
    (answer,) = by_kind(tmp_path / "box", RecordedAnswer)
    assert answer.outcome == "internal"
    assert "incident" in answer.error


def test_the_disk_space_is_bounded_and_the_newest_is_kept(serve, message, record, tmp_path):
    recorder = record(max_bytes=2 * MB)
    server = serve(HoldPolicy(), observer=recorder)
    for sequence in range(30):  # 200 kB each
        server.infer(message(sequence=sequence))
    recorder.close()
    segments = segments_of(tmp_path / "box")
    assert len(segments) > 1
    assert len({segment_owner(path) for path in segments}) == 1
    assert sum(path.stat().st_size for path in segments) <= 2 * MB
    requests = by_kind(tmp_path / "box", RecordedRequest)
    sequences = [pb.InferRequest.FromString(each.message).sequence for each in requests]
    assert sequences == list(range(30 - len(sequences), 30))
    assert len(sequences) >= 5
    assert len(by_kind(tmp_path / "box", RecordedServer)) == len(segments)


def test_a_new_server_goes_on_in_a_segment_of_its_own(serve, message, record, tmp_path):
    for sequence in (1, 2):
        recorder = record()
        serve(HoldPolicy(), observer=recorder).infer(message(sequence=sequence))
        recorder.close()
        last = segments_of(tmp_path / "box")[-1]
        last.write_bytes(last.read_bytes() + b"\xf0\x9f\xa6\xbetorn")  # as kill -9 may leave it
    requests = by_kind(tmp_path / "box", RecordedRequest)
    assert [pb.InferRequest.FromString(each.message).sequence for each in requests] == [1, 2]
    assert len({each.session for each in requests}) == 2


def test_two_servers_at_once_keep_to_segments_of_their_own(serve, message, record, tmp_path):
    recorders = [record(), record()]  # as while one server takes over from another
    servers = [serve(HoldPolicy(), observer=recorder) for recorder in recorders]
    for sequence in range(4):
        servers[sequence % 2].infer(message(sequence=sequence))
    for recorder in recorders:
        recorder.close()
    requests = by_kind(tmp_path / "box", RecordedRequest)
    assert len(segments_of(tmp_path / "box")) == 2  # of the same client
    assert {pb.InferRequest.FromString(each.message).sequence for each in requests} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), ValueError("not a disk's error")]
)
def test_a_full_disk_or_another_error_ends_the_recording_and_not_the_serving(
    serve, message, record, tmp_path, monkeypatch, caplog, error
):
    recorder = record()
    server = serve(HoldPolicy(), observer=recorder)
    gate = threading.Event()

    def full(writer, *record):
        assert gate.wait(60)
        raise error

    monkeypatch.setattr(SegmentWriter, "write", full)
    for sequence in range(5):
        assert server.infer(message(sequence=sequence)).sequence == sequence
    data = Kept(b"it waits")
    carried = weakref.ref(data.carried)
    recorder.decoded(pending(), data)
    del data
    gate.set()
    recorder.close()
    assert server.infer(message(sequence=9)).sequence == 9
    lines = [each for each in caplog.messages if "recording has stopped" in each]
    reason = getattr(error, "strerror", None) or str(error)
    told = "recording has stopped, serving goes on; next attempt in 30 s"
    assert lines == [f"{told}: {reason}"]
    assert recorder.levels() == {"recording": 0, "record_waiting_bytes": 0}
    assert gc.collect() >= 0
    assert carried() is None
    if sys.platform == "linux":
        assert open_files(tmp_path) == 0
    assert recorder.totals()["records_dropped"] >= 12  # seven requests, and five chunks


@pytest.fixture
def slow_disk(monkeypatch):
    """A disk that writes nothing until the gate is opened."""
    gate, write = threading.Event(), SegmentWriter.write

    def slow(writer, *record):
        assert gate.wait(60)
        write(writer, *record)

    monkeypatch.setattr(SegmentWriter, "write", slow)
    yield gate
    gate.set()


@pytest.mark.parametrize("most", [4 * recorder_module.LEAST_BYTES, 800_000])
def test_a_disk_that_is_too_slow_loses_records_and_is_waited_for_by_nobody(
    serve, message, record, monkeypatch, slow_disk, most
):
    monkeypatch.setattr(recorder_module, "MOST_WAITING_BYTES", most)
    recorder = record()
    server = serve(HoldPolicy(), observer=recorder)
    for sequence in range(10):
        assert server.infer(message(sequence=sequence)).sequence == sequence
    assert recorder.levels()["record_waiting_bytes"] <= most
    slow_disk.set()
    recorder.close()
    totals = recorder.totals()
    assert totals["records_dropped"] >= 8
    # an answer whose request was dropped is none
    assert totals["records_written"] == 2 * (10 - totals["records_dropped"])


def test_one_that_floods_a_slow_disk_leaves_the_others_their_records(record, slow_disk, tmp_path):
    recorder = record()
    large = bytes(recorder_module.MOST_WAITING_BYTES // 8)
    for _ in range(10):
        recorder.decoded(pending("flood"), large)
    for _ in range(3):
        recorder.decoded(pending("robot"), b"a frame")
    slow_disk.set()
    recorder.close()
    clients = [each.client for each in by_kind(tmp_path / "box", RecordedRequest)]
    assert clients == 4 * ["flood"] + 3 * ["robot"]  # the first of which the thread had taken


def test_requests_that_are_refused_push_nothing_out(serve, message, record, tmp_path):
    recorder = record(max_bytes=MB)
    server = serve(HoldPolicy(), observer=recorder)
    server.infer(message(sequence=1))
    refused = message()
    refused.observation.task = ""
    for _ in range(10):  # 200 kB each
        with pytest.raises(InvalidRequest):
            server.infer_bytes(refused.SerializeToString())
    server.infer(message(sequence=2))
    recorder.close()
    requests = by_kind(tmp_path / "box", RecordedRequest)
    assert [pb.InferRequest.FromString(each.message).sequence for each in requests] == [1, 2]
    answers = by_kind(tmp_path / "box", RecordedAnswer)
    assert [each.number for each in answers] == [each.number for each in requests]


def test_the_recording_goes_on_once_the_disk_does(
    serve, message, record, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(recorder_module, "RETRY_S", 0.01)
    recorder, write = record(), SegmentWriter.write
    server = serve(HoldPolicy(), observer=recorder)
    full = threading.Event()

    def sometimes_full(writer, *record):
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        write(writer, *record)

    monkeypatch.setattr(SegmentWriter, "write", sometimes_full)
    full.set()
    server.infer(message(sequence=1))
    wait_until(lambda: "recording has stopped" in caplog.text)
    full.clear()
    wait_until(lambda: recorder.levels()["recording"] == 1)
    server.infer(message(sequence=2))
    recorder.close()
    (request,) = by_kind(tmp_path / "box", RecordedRequest)
    assert pb.InferRequest.FromString(request.message).sequence == 2
    assert len(by_kind(tmp_path / "box", RecordedServer)) == 1  # each segment names the server
    assert caplog.text.count("recording has stopped") == 1
    assert caplog.text.count("recording goes on") == 1


def test_an_idle_recorder_holds_no_image(record):
    recorder, data = record(), Kept(bytes(1000))
    carried = weakref.ref(data.carried)
    recorder.decoded(pending(), data)
    del data
    wait_until(lambda: gc.collect() >= 0 and carried() is None)


def test_a_record_that_is_larger_than_the_recording_may_be_is_kept_until_the_next(tmp_path):
    writer = SegmentWriter(tmp_path, max_bytes=1000, segment_bytes=250)
    for number in (1, 2):
        writer.write("robot", bytes(5000), b"")
        assert [path.stem.partition("-")[0] for path in segments_of(tmp_path)] == [f"{number:08d}"]
    writer.close()


def sequences_of(folder):
    """Which sequences a folder still holds of whom: {client: [sequence]}."""
    found = {}
    for each in by_kind(folder, RecordedRequest):
        sequence = pb.InferRequest.FromString(each.message).sequence
        found.setdefault(each.client.partition(" ")[2] or each.client, []).append(sequence)
    return found


def test_a_flood_of_valid_requests_pushes_out_no_records_but_its_own(
    serve, message, record, tmp_path
):
    robot, flood = "a-robot-of-this-house-0001", "a-token-that-was-stolen-02"
    recorder = record(max_bytes=4 * MB)
    server = serve(HoldPolicy(), observer=recorder, tokens=TokenCheck((robot, flood)))
    infer = server.channel.unary_unary("/handover.policy.v1.PolicyService/Infer")

    def send(token, sequence):  # 200 kB each
        metadata = (("authorization", f"Bearer {token}"),)
        infer(message(sequence=sequence).SerializeToString(), metadata=metadata, timeout=60)

    for sequence in range(5):
        send(robot, sequence)
    for sequence in range(60):
        send(flood, sequence)
    send(robot, 5)
    recorder.close()
    by_robot, by_flood = sequences_of(tmp_path / "box").values()
    assert by_robot == [0, 1, 2, 3, 4, 5]
    assert by_flood == list(range(60 - len(by_flood), 60))
    assert len(by_flood) >= 10
    assert recorder.totals()["records_dropped"] == 0
    assert sum(path.stat().st_size for path in segments_of(tmp_path / "box")) <= 4 * MB
    answers = {each.number for each in by_kind(tmp_path / "box", RecordedAnswer)}
    assert {each.number for each in by_kind(tmp_path / "box", RecordedRequest)} <= answers


@pytest.mark.parametrize("begun_anew", [False, True])
def test_the_connections_of_an_address_share_its_part_of_the_disk(record, tmp_path, begun_anew):
    recorder = record(max_bytes=MB)
    recorder.decoded(pending("ipv4:10.0.0.1:1"), bytes(100_000))
    if begun_anew:  # whose records are there is known after a restart
        recorder.close()
        recorder = record(max_bytes=MB)
    for port in range(100):
        recorder.decoded(pending(f"ipv4:10.0.0.2:{port}"), bytes(50_000))
        wait_until(lambda: recorder.levels()["record_waiting_bytes"] == 0)
    recorder.close()
    clients = [each.client for each in by_kind(tmp_path / "box", RecordedRequest)]
    assert clients[0] == "ipv4:10.0.0.1:1"
    assert set(clients[1:]) == {f"ipv4:10.0.0.2:{port}" for port in range(101 - len(clients), 100)}
    assert len(clients) > 10


def test_every_client_keeps_an_equal_share_however_many_there_are(tmp_path):
    writer = SegmentWriter(tmp_path, max_bytes=MB, segment_bytes=MB)
    for number in range(300):
        for client in range(20):
            if client == 0 or number < 100:  # the first goes on, and floods
                writer.write(f"robot {client}", bytes(1000), b"first")
    writer.close()
    held = {}
    for path in segments_of(tmp_path):
        held[segment_owner(path)] = held.get(segment_owner(path), 0) + path.stat().st_size
    assert len(held) == 20
    assert sum(held.values()) <= MB
    assert min(held.values()) > 0.5 * MB / 20
    assert max(held.values()) < 1.5 * MB / 20


def test_a_segment_that_somebody_deleted_is_begun_anew(record, tmp_path):
    recorder = record()
    for number in (1, 2):
        recorder.decoded(pending("robot"), b"%d" % number)
        wait_until(lambda number=number: recorder.totals()["records_written"] == number)
        for path in segments_of(tmp_path / "box")[: 2 - number]:
            path.unlink()
    recorder.close()
    assert [each.message for each in by_kind(tmp_path / "box", RecordedRequest)] == [b"2"]


def test_a_reload_begins_new_segments_that_name_what_is_served(record, tmp_path):
    recorder = record()
    for name in ("before", "after"):
        recorder.serving(ServerInfo(dataclasses.replace(ALOHA_HOLD, policy=name), Limits()))
        recorder.decoded(pending("robot"), name.encode())
    recorder.close()
    found = [
        pb.GetInfoReply.FromString(each.info).policy
        if isinstance(each, RecordedServer)
        else each.message
        for each in read_recording(tmp_path / "box")
    ]
    assert found == ["before", b"before", "after", b"after"]


def open_files(folder):
    places = Path("/proc/self/fd").iterdir()
    return sum(os.path.realpath(place).startswith(str(folder)) for place in places)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_recording_is_no_open_file_whoever_is_recorded(tmp_path):
    writer = SegmentWriter(tmp_path, MB, 100)
    for client in range(30):
        writer.write(f"robot {client}", b"frames", b"")
        assert open_files(tmp_path) == 0
    writer.close()


def test_only_this_user_may_read_a_recording(serve, message, record, tmp_path):
    recorder = record()
    serve(HoldPolicy(), observer=recorder).infer(message())
    recorder.close()
    folder = tmp_path / "box"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in segments_of(folder)] == [0o600]


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ServingError, match=r"--record .*file/box cannot be used: Not a directory"):
        Recorder(tmp_path / "file/box", MB)
