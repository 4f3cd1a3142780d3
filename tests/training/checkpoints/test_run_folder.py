"""Who may write into a folder, and which checkpoints count."""

import json

import pytest
from handover_training.checkpoints import folders
from handover_training.checkpoints.run_folder import RunFolder
from handover_training.errors import RunFolderError

SETTINGS = {"max_steps": 10, "learning_rate": 0.1, "seed": 1}


@pytest.fixture
def folder(tmp_path):
    opened = RunFolder(tmp_path / "run")
    opened.lock()
    yield opened
    opened.release()


def write_checkpoint(path, step):
    staged = folders.checkpoint_path(path / folders.STAGING, step)
    staged.mkdir(parents=True)
    (staged / "model.safetensors").write_bytes(b"weights" * step)
    folders.publish(staged, folders.checkpoint_path(path, step))


def begin(folder, settings=SETTINGS, resume=False, overwrite=False):
    return folder.start(settings, resume=resume, overwrite=overwrite)


def test_an_empty_folder_starts_at_the_beginning(folder):
    assert begin(folder).checkpoint is None


def test_the_same_settings_go_on_from_the_last_whole_checkpoint(folder):
    begin(folder)
    for step in (2, 10, 4):
        write_checkpoint(folder.path, step)
    assert begin(folder).checkpoint == folder.path / "checkpoint-10"
    (folder.path / "checkpoint-10/model.safetensors").write_bytes(b"half")
    assert begin(folder).checkpoint == folder.path / "checkpoint-4"


@pytest.mark.parametrize("resume", [False, True])
def test_another_seed_is_another_run(folder, resume):
    begin(folder)
    with pytest.raises(RunFolderError, match="seed") as caught:
        begin(folder, {**SETTINGS, "seed": 2}, resume=resume)
    assert "say --resume" not in str(caught.value), "it would not help"


def test_a_changed_schedule_needs_resume(folder):
    begin(folder)
    write_checkpoint(folder.path, 5)
    longer = {**SETTINGS, "max_steps": 20}
    with pytest.raises(RunFolderError, match="max_steps"):
        begin(folder, longer)
    assert begin(folder, longer, resume=True).checkpoint == folder.path / "checkpoint-5"


def test_a_finished_run_is_refused_and_resume_finds_nothing_to_do(folder):
    begin(folder)
    write_checkpoint(folder.path, 10)
    folder.finish(SETTINGS)
    with pytest.raises(RunFolderError, match="finished run"):
        begin(folder)
    assert begin(folder, resume=True).finished
    assert not begin(folder, {**SETTINGS, "max_steps": 20}, resume=True).finished


def test_overwrite_removes_the_run_and_nothing_else(folder):
    begin(folder)
    write_checkpoint(folder.path, 10)
    folders.mark_best(folder.path, 10, "open_loop_mae", 0.5)
    folder.finish(SETTINGS)
    assert begin(folder, {**SETTINGS, "seed": 2}, overwrite=True).checkpoint is None
    assert not (folder.path / "checkpoint-10").exists()
    assert not (folder.path / "best").is_symlink()


def test_overwrite_removes_nothing_where_a_file_is_not_the_runs(folder):
    begin(folder)
    write_checkpoint(folder.path, 10)
    (folder.path / "notes.txt").write_text("what I saw")
    with pytest.raises(RunFolderError, match=r"notes\.txt"):
        begin(folder, overwrite=True)
    assert (folder.path / "notes.txt").exists()
    assert begin(folder).checkpoint == folder.path / "checkpoint-10"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_peoples_files_is_refused(tmp_path, overwrite):
    (tmp_path / "thesis.txt").write_text("years of work")
    folder = RunFolder(tmp_path)
    folder.lock()
    with pytest.raises(RunFolderError, match=r"thesis\.txt"):
        begin(folder, overwrite=overwrite)
    assert (tmp_path / "thesis.txt").exists()
    folder.release()


def test_two_runs_cannot_own_one_folder(folder):
    with pytest.raises(RunFolderError, match="another run is at work"):
        RunFolder(folder.path).lock()


def test_rotation_keeps_the_newest_and_the_best(tmp_path):
    for step in (1, 2, 3, 4):
        write_checkpoint(tmp_path, step)
        folders.rotate(tmp_path, 2, best=1)
    assert [folders.step_of(path) for path in folders.list_checkpoints(tmp_path)] == [1, 4]


def test_the_best_checkpoint_is_marked_by_a_file_and_a_link(tmp_path):
    for step in (1, 2):
        write_checkpoint(tmp_path, step)
        folders.mark_best(tmp_path, step, "open_loop_mae", 1 / step)
    assert (tmp_path / "best").resolve() == tmp_path / "checkpoint-2"
    told = json.loads((tmp_path / "best_checkpoint.json").read_text())
    assert told == {"checkpoint": "checkpoint-2", "step": 2, "open_loop_mae": 0.5}


def test_a_best_checkpoint_by_another_metric_is_told_apart(tmp_path):
    assert folders.best_is_by(tmp_path, "open_loop_mae")  # none yet
    write_checkpoint(tmp_path, 1)
    folders.mark_best(tmp_path, 1, "open_loop_mse", 0.5)
    assert not folders.best_is_by(tmp_path, "open_loop_mae")
    folders.mark_best(tmp_path, 1, "open_loop_mae", 0.5)
    assert folders.best_is_by(tmp_path, "open_loop_mae")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match=r"cannot write to .*run: Not a directory"):
        RunFolder(tmp_path / "file/run").lock()


@pytest.mark.parametrize("had_it", [False, True])
def test_a_setting_that_only_one_of_two_runs_has_is_a_difference(folder, had_it):
    without, with_it = SETTINGS, {**SETTINGS, "dropout": 0.1}
    before, now = (with_it, without) if had_it else (without, with_it)
    begin(folder, before)
    with pytest.raises(RunFolderError, match="other settings: dropout"):
        begin(folder, now, resume=True)


def test_who_does_not_own_a_folder_leaves_its_run_alone(folder):
    begin(folder)
    RunFolder(folder.path).leave_no_trace()
    assert (folder.path / "run.json").is_file()
    folder.leave_no_trace()
    assert not (folder.path / "run.json").exists()
