"""The request recording: complete, bounded, and its troubles are not the robots'."""

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
    segments_of,
)
from handover_proto.wire.messages import decode_chunk
from handover_server.errors import ServingError
from handover_server.operations import recorder as recorder_module
from handover_server.operations.recorder import Recorder
from handover_server.operations.segments import SegmentWriter
from handover_server.policies.hold import HoldPolicy
from handover_server.requests.request import Lane, PendingRequest
from handover_server.requests.wire_head import RequestHead
from handover_server.security.tokens import Identity

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
    assert len(segments_of(tmp_path / "box")) == 2
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

    def full(writer, frames):
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

    def slow(writer, frames):
        assert gate.wait(60)
        write(writer, frames)

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
    # one record names the server; an answer whose request was dropped is none
    assert totals["records_written"] == 1 + 2 * (10 - totals["records_dropped"])


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
    wait_until(lambda: recorder.totals()["records_written"] == 1)
    full = threading.Event()

    def sometimes_full(writer, frames):
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        write(writer, frames)

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
    assert len(by_kind(tmp_path / "box", RecordedServer)) == 2  # each segment names the server
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
        assert writer.is_full
        writer.begin(b"")
        writer.write(bytes(5000))
        assert [path.stem for path in segments_of(tmp_path)] == [f"{number:08d}"]
    writer.close()


def open_files(folder):
    places = Path("/proc/self/fd").iterdir()
    return sum(os.path.realpath(place).startswith(str(folder)) for place in places)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_segment_that_has_ended_is_no_open_file(tmp_path):
    writer = SegmentWriter(tmp_path, MB, 100)
    for _ in range(3):
        writer.begin(b"")
        assert open_files(tmp_path) == 1
    writer.close()
    assert open_files(tmp_path) == 0


def test_only_this_user_may_read_a_recording(serve, record, tmp_path):
    recorder = record()
    serve(HoldPolicy(), observer=recorder)
    recorder.close()
    folder = tmp_path / "box"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in segments_of(folder)] == [0o600]


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ServingError, match=r"--record .*file/box cannot be used: Not a directory"):
        Recorder(tmp_path / "file/box", MB)
