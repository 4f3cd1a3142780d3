"""A work folder is owned by one process, taken up after a kill, and published whole."""

import errno
import os
import signal
import subprocess
import sys

import pytest
from handover_common import FileError, WorkFolder, lock_file, read_plan, write_bytes, write_text

PLAN = {"task": "cube", "image": {"size": 256}, "seeds": [1, 2]}


class Notes(WorkFolder):
    """A note per episode, in one of two folders."""

    unit = "notes"
    folders = ("notes", "other")

    def finished_count(self):
        return len(list((self.path / "notes").glob("*.txt")))


def keep(folder, name="1.txt"):
    write_text(folder.path / "notes" / name, "a note")


def test_what_is_finished_moves_to_its_place_as_a_whole(tmp_path):
    with Notes(tmp_path / "out", PLAN, "tour") as folder:
        keep(folder)
        write_bytes(folder.path / "report", b"report")
        (folder.path / "notes/.2.txt.77-7.partial").write_text("what a kill left")
        assert not (tmp_path / "out").exists()
        folder.publish()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    found = sorted(str(path.relative_to(tmp_path / "out")) for path in tmp_path.rglob("out/**/*"))
    assert found == ["notes", "notes/1.txt", "plan.json", "report"]


def test_the_same_plan_goes_on(tmp_path):
    with Notes(tmp_path / "out", PLAN, "tour") as folder:
        keep(folder)
    with Notes(tmp_path / "out", {**PLAN, "seeds": (1, 2)}, "tour") as folder:  # as JSON has it
        assert folder.finished_count() == 1
        assert read_plan(folder.path) == PLAN


@pytest.mark.parametrize(
    ("plan", "change"),
    [
        ({**PLAN, "image": {"size": 128}}, r"another image\.size \(256, now 128\)"),
        ({**PLAN, "task": "x" * 50}, r"another task \(cube, now x{39}…\)"),
        ({"image": {"size": 256}, "seeds": [1, 2]}, r"another task \(cube, now None\)"),
        ({**PLAN, "new": 1}, r"another new \(None, now 1\)"),
        ({**PLAN, "new": None}, "another plan"),
    ],
)
def test_another_plan_is_refused_by_its_first_difference(tmp_path, plan, change):
    with Notes(tmp_path / "out", PLAN, "tour") as folder:
        keep(folder)
    line = rf"\.out\.partial holds 1 notes of an interrupted tour with {change}: finish"
    for _ in range(2):  # what was finished is still there
        with pytest.raises(FileError, match=line):
            Notes(tmp_path / "out", plan, "tour")
    with Notes(tmp_path / "out", PLAN, "tour") as folder:
        assert folder.finished_count() == 1


@pytest.mark.parametrize("torn", [b"", b"{", None])
def test_what_has_no_readable_plan_is_not_mixed_in(tmp_path, torn):
    with Notes(tmp_path / "out", PLAN, "tour") as folder:
        keep(folder)
        plan = folder.path / "plan.json"
    plan.unlink() if torn is None else plan.write_bytes(torn)
    with pytest.raises(FileError, match="with another task"):
        Notes(tmp_path / "out", PLAN, "tour")


def test_another_plan_replaces_what_has_nothing_finished_or_is_given_up(tmp_path):
    with Notes(tmp_path / "out", PLAN, "tour") as folder:
        keep(folder)
        (folder.path / "other/leftover").write_text("of the former")
    with Notes(tmp_path / "out", {"task": "cone"}, "tour", start_over=True) as folder:
        assert folder.finished_count() == 0
        assert sorted(path.name for path in folder.path.iterdir()) == [
            *("lock", "notes", "other", "plan.json")
        ]
        assert not list((folder.path / "other").iterdir())
        assert read_plan(folder.path) == {"task": "cone"}
    folder.path.mkdir()  # a kill before the first plan leaves this much
    with Notes(tmp_path / "out", PLAN, "tour") as folder:
        assert read_plan(folder.path) == PLAN


def test_a_run_that_ends_before_anything_is_finished_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), Notes(tmp_path / "out", PLAN, "tour"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def fail_after_one(output, error):
    with Notes(output, PLAN, "tour") as folder:
        keep(folder)
        raise error


def test_a_full_disk_is_one_line_that_says_what_is_kept(tmp_path):
    line = r"beside .*out: No space left on device; 1 notes are finished, the same command goes on"
    with pytest.raises(FileError, match=line):
        fail_after_one(tmp_path / "out", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with Notes(tmp_path / "out", PLAN, "tour") as folder:
        assert folder.finished_count() == 1


def test_what_is_not_the_disks_fault_stays_as_it_is(tmp_path):
    with pytest.raises(ConnectionResetError):
        fail_after_one(tmp_path / "out", ConnectionResetError(errno.ECONNRESET, "reset"))


def test_one_process_at_a_time(tmp_path):
    with Notes(tmp_path / "out", PLAN, "tour") as folder:
        keep(folder)
        with pytest.raises(FileError, match=r"another process is writing to .*out; wait for it"):
            Notes(tmp_path / "out", PLAN, "tour")
    with Notes(tmp_path / "out", PLAN, "tour"):
        pass


KILLED = """
import os, signal, sys
from pathlib import Path
from handover_common import WorkFolder
class Notes(WorkFolder):
    folders = ("notes",)
    def finished_count(self): return len(list((self.path / "notes").glob("*.txt")))
folder = Notes(Path(sys.argv[1]), {"a": 1}, "tour")
(folder.path / "notes/1.txt").write_text("a note")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_gives_the_folder_back(tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "out")], timeout=120)
    assert killed.returncode == -signal.SIGKILL
    with Notes(tmp_path / "out", {"a": 1}, "tour") as folder:
        assert folder.finished_count() == 1


def test_a_lock_is_none_while_another_holds_it(tmp_path):
    first = lock_file(tmp_path / "a/lock")
    assert first is not None
    assert lock_file(tmp_path / "a/lock") is None
    first.close()
    again = lock_file(tmp_path / "a/lock")
    assert again is not None
    again.close()


def test_what_is_at_the_place_already_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("out", "link"):
        with pytest.raises(FileError, match=rf"{name} exists already"):
            Notes(tmp_path / name, PLAN, "tour")
    assert not list(tmp_path.glob(".*"))


def test_what_comes_to_the_place_meanwhile_is_left_alone(tmp_path):
    with Notes(tmp_path / "out", PLAN, "tour") as folder:
        keep(folder)
        write_text(tmp_path / "out/precious", "mine")
        with pytest.raises(FileError, match=r"cannot move .*\.out\.partial to .*out: "):
            folder.publish()
    assert (tmp_path / "out/precious").read_text() == "mine"
    os.rename(tmp_path / "out", tmp_path / "elsewhere")
    with Notes(tmp_path / "out", PLAN, "tour") as folder:
        assert folder.finished_count() == 1
        folder.publish()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"cannot write beside .*run: .*\(--output\)"):
        Notes(tmp_path / "file/run", PLAN, "tour")


def test_the_root_is_no_place(tmp_path):
    with pytest.raises(FileError, match="/ cannot be replaced"):
        Notes(tmp_path.__class__("/"), PLAN, "tour", replace=True)
