"""A file is replaced whole, and a failure leaves what was there and nothing else."""

import errno
import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from handover_common import (
    FileError,
    HandoverError,
    atomic_path,
    final_name,
    json_bytes,
    json_lines_bytes,
    link_or_copy,
    write_bytes,
    write_json,
    write_json_lines,
    write_text,
)


def test_a_file_is_replaced(tmp_path):
    for text in ("one", "two"):
        write_text(tmp_path / "file", text)
    assert (tmp_path / "file").read_text() == "two"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_cannot_be_written_leaves_the_former(tmp_path):
    write_text(tmp_path / "file", "one")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "file", "half a pair: \ud800")
    assert (tmp_path / "file").read_text() == "one"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_error_while_it_is_written_leaves_the_former(tmp_path):
    write_text(tmp_path / "file", "one")
    with pytest.raises(ZeroDivisionError):
        _write_half(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "one"
    assert len(list(tmp_path.iterdir())) == 1


def _write_half(path):
    with atomic_path(path) as partial:
        partial.write_text("tw")
        assert path.read_text() == "one"
        raise ZeroDivisionError


def test_the_content_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    happened, replace = [], Path.replace
    monkeypatch.setattr(os, "fsync", lambda _handle: happened.append("synced"))
    monkeypatch.setattr(
        Path, "replace", lambda *paths: (happened.append("named"), replace(*paths))[1]
    )
    write_bytes(tmp_path / "file", b"content")
    assert happened == ["synced", "named"]


def test_the_folders_above_are_made(tmp_path):
    write_text(tmp_path / "a/b/file", "text")
    assert (tmp_path / "a/b/file").read_text() == "text"


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="file is no folder and cannot become one") as raised:
        write_text(tmp_path / "file/inside", "text")
    assert isinstance(raised.value, HandoverError)
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match=r"^cannot write .*folder: Is a directory$"):
        write_text(tmp_path / "folder", "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_full_disk_is_told_as_such_and_keeps_its_number(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"^cannot write .*file: No space left on device$") as raised:
        write_text(tmp_path / "file", "text")
    assert isinstance(raised.value, FileError)
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.strerror == "No space left on device"
    assert not list(tmp_path.iterdir())


def test_an_error_crosses_to_another_process_with_its_line():
    sent = FileError("cannot write here: full", OSError(errno.ENOSPC, "full"))
    assert str(pickle.loads(pickle.dumps(sent))) == "cannot write here: full"


def test_many_at_once_leave_one_whole_file(tmp_path):
    texts = [str(number) * 10_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_text(tmp_path / "file", text), texts))
    assert (tmp_path / "file").read_text() in texts
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_under_way_tells_its_final_name(tmp_path):
    with atomic_path(tmp_path / "run.json") as partial:
        assert final_name(partial.name) == "run.json"
        partial.touch()
    for other in ("run.json", ".run.partial", "x.1-2.partial", ".run.json.1-2.partial.txt"):
        assert final_name(other) == other


def test_json_reads_back_and_has_the_same_bytes_every_time(tmp_path):
    content = {"b": [1, 2.5], "a": "Würfel"}
    write_json(tmp_path / "one.json", content)
    assert (tmp_path / "one.json").read_bytes() == json_bytes(content)
    assert json.loads((tmp_path / "one.json").read_text()) == content
    assert json_bytes({"a": "ü"}) == '{\n  "a": "ü"\n}\n'.encode()
    write_json_lines(tmp_path / "lines.jsonl", [content, {}])
    assert (tmp_path / "lines.jsonl").read_bytes() == json_lines_bytes([content, {}])
    assert json_lines_bytes([{"a": "ü"}, {}]) == '{"a": "ü"}\n{}\n'.encode()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_has_no_number_that_is_none(tmp_path, number):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "file", {"a": number})
    assert not list(tmp_path.iterdir())


def test_a_link_has_the_content_also_where_links_are_refused(tmp_path, monkeypatch):
    (tmp_path / "film").write_bytes(b"film")
    link_or_copy(tmp_path / "film", tmp_path / "a/linked")
    assert (tmp_path / "a/linked").samefile(tmp_path / "film")

    def refuse(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    link_or_copy(tmp_path / "film", tmp_path / "b/copied")
    assert (tmp_path / "b/copied").read_bytes() == b"film"
    assert not (tmp_path / "b/copied").samefile(tmp_path / "film")
