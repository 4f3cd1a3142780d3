"""A conversion killed at any point goes on when run again, and ends in the same bytes."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from handover_common import FileError, files
from handover_conversion.errors import DatasetError
from handover_conversion.pipeline import run as conversion
from handover_conversion.pipeline import staging
from handover_conversion.pipeline.command import main
from handover_conversion.pipeline.config import ConvertConfig

COMMAND = """
import sys
from pathlib import Path
from handover_conversion.pipeline.command import main
from handover_conversion.pipeline.config import ConvertConfig
if __name__ == "__main__":
    main(ConvertConfig(source=sys.argv[1], output=Path(sys.argv[2]), workers=2))
"""

NEVER_ENDING = """
import time
from handover_conversion.pipeline import run as conversion
conversion.assemble = lambda *_: time.sleep(600)
"""


class Killed(BaseException):
    """Stands for the process's end: nothing of ours catches it."""


@pytest.fixture(scope="module")
def reference(record_into, tmp_path_factory, contents):
    """Give a source and the files of its uninterrupted conversion; no test changes them."""
    folder = tmp_path_factory.mktemp("reference")
    source = record_into(folder / "recorded", lengths=(40, 50, 40))
    main(ConvertConfig(source=str(source), output=folder / "converted", workers=1))
    return source, contents(folder / "converted")


@pytest.mark.parametrize("written", [0, 2, 5, 11, 16, 17])
def test_a_run_that_ends_before_its_nth_file_goes_on(
    reference, convert, contents, monkeypatch, written, tmp_path
):
    """They are the plan, 3 videos, 3 tables, 3 numbered tables, 7 of metadata and the mark."""
    source, expected = reference
    left = [written]
    whole = files.atomic_path

    @contextmanager
    def write_until_killed(path):
        if not left[0]:
            half = path.with_name(f".{path.name}.1-1.partial")
            yield half
            half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
            raise Killed
        left[0] -= 1
        with whole(path) as partial:
            yield partial

    with monkeypatch.context() as patch:
        patch.setattr(files, "atomic_path", write_until_killed)
        with pytest.raises(Killed):
            convert(source)
    assert not (tmp_path / "converted").exists()
    assert contents(convert(source, overwrite=True)) == expected
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("calls", [0, 1])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_killed_while_it_publishes_is_finished_by_the_next(
    reference, convert, contents, monkeypatch, tmp_path, calls, overwrite
):
    source, expected = reference
    if overwrite:
        former = contents(convert(source, fps=10, horizon=4))
    left = [calls + overwrite]
    rename = staging.Path.rename

    def rename_until_killed(path, target):
        if path.name in ("converted", "dataset"):
            if not left[0]:
                raise Killed
            left[0] -= 1
        return rename(path, target)

    mark, rmtree = tmp_path / ".converted.partial/publishing", staging.shutil.rmtree

    def killed_before_tidying(path, **choices):
        if mark.exists():
            raise Killed
        rmtree(path, **choices)

    with monkeypatch.context() as patch:
        patch.setattr(staging.Path, "rename", rename_until_killed)
        patch.setattr(staging.shutil, "rmtree", killed_before_tidying)
        with pytest.raises(Killed):
            convert(source, overwrite=overwrite)
    assert mark.exists()
    assert (mark.with_name("dataset").exists(), left[0]) == (not calls, 0)
    if overwrite and not calls:  # the one that was to be replaced is put back
        with pytest.raises(DatasetError, match="exists"):
            convert(source)
        assert contents(tmp_path / "converted") == former
        assert not mark.exists()
    assert contents(convert(source, overwrite=overwrite)) == expected
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("removed", [0, 1, 2, 3, 5, 8, 15, 25])
def test_a_run_killed_while_it_tidies_is_finished_by_the_next(
    reference, convert, contents, monkeypatch, tmp_path, removed
):
    """It is killed once so many of the files of episodes and of the replaced dataset are gone."""
    source, expected = reference
    convert(source, fps=10, horizon=4)
    left, rename = [], staging.Path.rename

    def rename_and_count(path, target):
        rename(path, target)
        if path.name == "dataset":
            left.append(removed)

    def until_killed(remove):
        def removing(path, *choices, **named):
            if left:
                if not left[0]:
                    raise Killed
                left[0] -= 1
            remove(path, *choices, **named)

        return removing

    with monkeypatch.context() as patch:
        patch.setattr(staging.Path, "rename", rename_and_count)
        patch.setattr(os, "unlink", until_killed(os.unlink))
        patch.setattr(os, "rmdir", until_killed(os.rmdir))
        with pytest.raises(Killed):
            convert(source, overwrite=True)
    assert contents(convert(source)) == expected
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "after_s", [0.9, *(pytest.param(0.2 * n, marks=pytest.mark.slow) for n in range(1, 15))]
)
def test_kill_9_leaves_no_process_and_the_next_run_ends_in_the_same_bytes(
    reference, convert, contents, tmp_path, after_s
):
    source, expected = reference
    output = tmp_path / "converted"
    run = subprocess.Popen([sys.executable, "-c", COMMAND, source, output], start_new_session=True)
    time.sleep(after_s)
    run.kill()
    run.wait(60)
    _wait_until_gone(run.pid)
    assert contents(convert(source, overwrite=True)) == expected
    assert not list(tmp_path.glob(".*"))


def test_ctrl_c_leaves_no_process(record, tmp_path):
    source = record(lengths=(40,) * 40)
    run = subprocess.Popen(
        [sys.executable, "-c", NEVER_ENDING + COMMAND, source, tmp_path / "converted"],
        start_new_session=True,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 120
    while not any(tmp_path.glob(".converted.partial/episodes/*")):
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGINT)
    _, printed = run.communicate(timeout=60)
    _wait_until_gone(run.pid)
    assert printed.count(b"Traceback") <= 1  # the parent's own; no worker adds one


def _wait_until_gone(group):
    """Wait until no process of the group is left. Fails after a minute."""
    deadline = time.monotonic() + 60
    while _running(group):
        assert time.monotonic() < deadline, "a process is left over"
        time.sleep(0.05)


def _running(group):
    """Tell whether a process of the group runs; one that only waits to be reaped does not."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                return True
    return False


def test_another_choice_throws_nothing_away_unless_told_to(
    reference, convert, contents, monkeypatch
):
    source, expected = reference

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "assemble", killed)
        with pytest.raises(Killed):
            convert(source, codec="h264")
    message = "3 episodes of an interrupted conversion with another parameters"
    message += r"\.codec \(h264, now mp4v\): finish that, --overwrite it, or choose another"
    with pytest.raises(FileError, match=message):
        convert(source)
    with pytest.raises(FileError, match=message):  # they are still there
        convert(source)
    assert contents(convert(source, overwrite=True)) == expected


def test_the_source_by_another_path_goes_on(reference, convert, contents, monkeypatch, capsys):
    source, expected = reference

    def killed(*_):
        raise Killed

    monkeypatch.chdir(source.parent)
    with monkeypatch.context() as patch:
        patch.setattr(conversion, "assemble", killed)
        with pytest.raises(Killed):
            convert(f"{source.name}/")
    assert contents(convert(source)) == expected
    assert "(3 episodes were finished before)" in capsys.readouterr().out


def test_a_changed_source_is_told_and_starts_over_when_told_to(
    reference, convert, contents, monkeypatch, tmp_path, draw_video
):
    source = shutil.copytree(reference[0], tmp_path / "changing")

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "assemble", killed)
        with pytest.raises(Killed):
            convert(source)
    draw_video(source / "videos/chunk-000/observation.images.top/episode_000000.mp4", range(7, 47))
    with pytest.raises(FileError, match=r"another source\.sha256"):
        convert(source)
    again = contents(convert(source, overwrite=True))
    assert again == contents(convert(source, "afresh")) != reference[1]


def test_two_runs_do_not_share_an_output(reference, convert, monkeypatch):
    source, _ = reference
    assemble = conversion.assemble

    def meet_another_run(*arguments):
        with monkeypatch.context() as patch:
            patch.setattr(conversion, "make_plan", None)  # refused before the source is read
            with pytest.raises(FileError, match=r"process is writing to .*converted; wait"):
                convert(source)
        return assemble(*arguments)

    monkeypatch.setattr(conversion, "assemble", meet_another_run)
    convert(source)


@pytest.mark.parametrize(("overwrite", "message"), [(False, "exists"), (True, "holds no dataset")])
def test_what_comes_to_the_output_meanwhile_is_not_replaced(
    reference, convert, contents, monkeypatch, tmp_path, overwrite, message
):
    source, expected = reference
    assemble, output = conversion.assemble, tmp_path / "converted"

    def meet_another_folder(*arguments):
        output.mkdir()
        (output / "thesis.txt").write_text("years of work")
        return assemble(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "assemble", meet_another_folder)
        with pytest.raises(DatasetError, match=message):
            convert(source, overwrite=overwrite)
    assert (output / "thesis.txt").read_text() == "years of work"
    output.rename(tmp_path / "kept")
    assert contents(convert(source)) == expected


def test_a_disk_that_fills_up_is_told_and_nothing_is_lost(
    reference, convert, contents, monkeypatch
):
    source, expected = reference
    left = [5]
    write = Path.write_bytes

    def write_until_full(path, content):
        if not left[0]:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        return write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_until_full)
        with pytest.raises(FileError, match="No space left on device; 2 episodes are finished"):
            convert(source)
    assert contents(convert(source)) == expected


def test_workers_do_not_change_the_bytes(reference, tmp_path, contents):
    source, expected = reference
    output = tmp_path / "by_three"
    main(ConvertConfig(source=str(source), output=output, workers=3))
    assert contents(output) == expected
