"""Log lines: one an event, readable by people or machines, and empty of what clients send."""

import json
import logging
import threading
import types

import pytest
from handover_proto.errors import InvalidRequest
from handover_server import logs
from handover_server.logs import BackgroundHandler, JsonFormatter, TextFormatter, fields
from handover_server.operations import request_summary as module
from handover_server.operations.request_summary import RequestSummary


@pytest.fixture
def record():
    def make(message, *arguments, error=None, **values):
        record = logging.LogRecord("handover", logging.INFO, "", 0, message, arguments, error)
        vars(record).update(fields(**values))
        return record

    return make


def test_text_has_the_time_in_utc_the_event_and_its_fields(record):
    line = TextFormatter().format(
        record("loaded %d files", 3, seconds=2 / 3, hours=2.0, name="aloha")
    )
    when, _, rest = line.partition(" ")
    assert when.endswith("Z")
    assert rest == "INFO loaded 3 files seconds=0.667 hours=2 name=aloha"


def test_json_is_one_object_a_line_even_with_a_traceback(record):
    try:
        raise RuntimeError("two\nlines")
    except RuntimeError as error:
        caught = (type(error), error, error.__traceback__)
    line = JsonFormatter().format(record("it failed", error=caught, batch=2))
    assert "\n" not in line
    event = json.loads(line)
    assert (event["level"], event["event"], event["batch"]) == ("info", "it failed", 2)
    assert "RuntimeError" in event["traceback"]


class Pager:
    """A stream whose reader has stopped until the gate is opened."""

    def __init__(self):
        self.reads, self.reached, self.text = threading.Event(), threading.Event(), ""

    def write(self, text):
        self.reached.set()
        assert self.reads.wait(60)
        self.text += text

    def flush(self):
        pass


def test_a_reader_that_stops_costs_lines_and_nobody_waits_for_it(record, monkeypatch):
    monkeypatch.setattr(logs, "MOST_WAITING", 2)
    monkeypatch.setattr(logs, "LAST_S", 0.01)
    pager = Pager()
    handler = BackgroundHandler(pager)
    handler.handle(record("line 1"))
    assert pager.reached.wait(60)
    for number in range(2, 9):
        handler.handle(record("line %d", number))
    handler.flush()  # as at the end of the process
    assert pager.text == ""
    pager.reads.set()
    monkeypatch.setattr(logs, "LAST_S", 60)
    handler.flush()
    handler.handle(record("line 9"))
    handler.flush()
    assert pager.text.splitlines() == [
        *("line 1", "line 2", "line 3"),
        "log lines were lost: the reader of stderr is too slow",
        "line 9",
    ]


def test_a_line_that_waits_holds_no_traceback_and_so_no_request(record):
    try:
        raise RuntimeError("a request")
    except RuntimeError as error:
        failed = record("it failed", error=(type(error), error, error.__traceback__))
    pager = Pager()
    handler = BackgroundHandler(pager)
    handler.handle(failed)
    pager.reads.set()
    handler.flush()
    assert "RuntimeError: a request" in pager.text
    assert failed.exc_info is None


def test_at_debug_each_request_has_a_line_without_what_was_in_it(serve, noise, message, caplog):
    with caplog.at_level(logging.DEBUG, "handover_server.operations.request_summary"):
        server = serve(noise, observer=RequestSummary())
        server.infer(message(sequence=41, client_tag="secret tag"))
        with pytest.raises(InvalidRequest):
            server.infer_bytes(b"\xff")
    lines = [TextFormatter().format(each) for each in caplog.records]
    (settled,) = [line for line in lines if "request settled" in line]
    for part in (
        "client=ipv4:127.0.0.1",
        "sequence=41",
        "outcome=ok",
        "queue_ms=",
        "backbone_ms=2",
    ):
        assert part in settled
    assert any("request refused reason=invalid" in line for line in lines)
    for hidden in ("secret tag", "transfer the cube"):
        assert hidden not in "".join(lines)


def test_at_info_a_minute_of_requests_is_one_line(caplog, monkeypatch):
    passed = [0.0]
    clock = types.SimpleNamespace(monotonic=lambda: passed[0])
    monkeypatch.setattr(module, "time", clock)
    caplog.set_level(logging.INFO, "handover_server.operations.request_summary")
    log = RequestSummary()
    for passed[0] in (1.0, 59.9, 60.0, 61.0, 119.9, 125.0):
        log.refused("invalid")
    lines = [TextFormatter().format(each) for each in caplog.records]
    assert [line.partition(" INFO ")[2] for line in lines] == [
        "requests seconds=60 refused_invalid=3",
        "requests seconds=65 refused_invalid=3",
    ]


def test_the_summary_counts_chunks(serve, noise, message, caplog, monkeypatch):
    monkeypatch.setattr("handover_server.operations.request_summary.SUMMARY_S", 0.0)
    with caplog.at_level(logging.INFO, "handover_server.operations.request_summary"):
        serve(noise, observer=RequestSummary()).infer(message())
    (line,) = [TextFormatter().format(each) for each in caplog.records if each.msg == "requests"]
    assert line.endswith("ok=1")
