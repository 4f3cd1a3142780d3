"""The folder of a rollout: whole or not there, and taken up again after a kill."""

import errno
import json
import os

import numpy as np
import pytest
from handover_client.control.retries import Outage
from handover_client.errors import EvaluationError
from handover_client.rollout.folder import RolloutFolder
from handover_client.rollout.record import EpisodeRecord
from handover_client.rollout.trace import EpisodeTrace
from handover_client.suites.folder import SuiteFolder
from handover_common import FileError

PLAN = {"task": "transfer_cube", "seeds": {"0": 1000, "1": 1001, "2": 1002}, "latency_ms": 0.0}


def record(episode: int, **changes) -> EpisodeRecord:
    values = {
        "episode": episode,
        "seed": 1000 + episode,
        "ended": "max_steps",
        "success": False,
        "strict_success": False,
        "max_reward": 2,
        "steps": 400,
        "first_steps": {1: 100, 2: 120},
        "start_poses": [[0.1, 0.5, 0.05, 1.0, 0.0, 0.0, 0.0]],
        "jerk_rms": 12.5,
        "latency_ms": [3.0, 4.0],
        "stage_ms": {"queue": [1.0, 1.0]},
        "outages": [Outage(20, "ServerUnavailable: gone", 3, 0.4, True)],
    }
    return EpisodeRecord(**{**values, **changes})


def test_a_record_survives_its_line():
    original = record(3)
    line = original.to_line()
    assert line.count("\n") == 1
    assert EpisodeRecord.from_line(line) == original


def test_a_finished_run_is_moved_into_place_in_the_episodes_order(tmp_path):
    output = tmp_path / "run"
    with RolloutFolder(output, PLAN) as folder:
        folder.keep(record(1, video="videos/episode_000001.mp4"), b"film")
        folder.keep(record(0), b"")
        assert not output.exists()
        folder.publish()
    lines = (output / "episodes.jsonl").read_text().splitlines()
    assert [json.loads(line)["episode"] for line in lines] == [0, 1]
    assert (output / "videos/episode_000001.mp4").read_bytes() == b"film"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    assert sorted(path.name for path in output.iterdir()) == [
        "episodes.jsonl",
        "plan.json",
        "videos",
    ]


def test_a_killed_run_goes_on_without_its_torn_line(tmp_path):
    output = tmp_path / "run"
    with RolloutFolder(output, PLAN) as folder:
        folder.keep(record(0), b"")
        folder.keep(record(2), b"")
        lines = folder.path / "episodes.jsonl"
    whole = lines.read_text()
    lines.write_text(whole + record(1).to_line()[:50])  # what kill -9 leaves
    with RolloutFolder(output, PLAN) as folder:
        assert sorted(folder.finished) == [0, 2]
        folder.keep(record(1), b"")
    with RolloutFolder(output, PLAN) as folder:
        assert folder.records() == [record(0), record(1), record(2)]


def test_an_episode_that_lost_its_server_is_not_finished(tmp_path):
    with RolloutFolder(tmp_path / "run", PLAN) as folder:
        folder.keep(record(0, ended="server_lost"), b"", EpisodeTrace())
        assert not folder.finished
        folder.keep(record(1), b"")
    with RolloutFolder(tmp_path / "run", PLAN) as folder:
        assert list(folder.finished) == [1]
        assert [play.episode for play in folder.lost] == [0]
        folder.keep(record(0), b"")
        folder.publish()
    lines = (tmp_path / "run/episodes.jsonl").read_text().splitlines()
    assert [json.loads(line)["ended"] for line in lines] == ["max_steps"] * 2
    assert not (tmp_path / "run/traces").exists()


def test_an_interrupted_run_of_another_plan_is_not_mixed_in(tmp_path):
    with RolloutFolder(tmp_path / "run", PLAN) as folder:
        folder.keep(record(0), b"")
    with pytest.raises(FileError, match=r"another latency_ms \(0\.0, now 100\.0\)"):
        RolloutFolder(tmp_path / "run", {**PLAN, "latency_ms": 100.0})


@pytest.mark.parametrize("folder_of", [RolloutFolder, lambda *given: SuiteFolder(*given, "suite")])
def test_a_run_goes_on_whose_plan_says_of_before_which_rate_was_told(tmp_path, folder_of):
    with folder_of(tmp_path / "run", {**PLAN, "policy_rate_hz": 20.0}) as folder:
        (folder.path / "episodes.jsonl").write_text(record(0).to_line())
        (folder.path / "cells/control").mkdir(parents=True)
        (folder.path / "cells/control/metrics.json").write_text("{}")
    with folder_of(tmp_path / "run", PLAN) as folder:
        assert folder.finished_count() == 1


def test_a_run_that_ends_before_its_first_episode_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), RolloutFolder(tmp_path / "run", PLAN):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_an_existing_output_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("run", "link"):
        with pytest.raises(FileError, match="exists already"):
            RolloutFolder(tmp_path / name, PLAN)


def test_two_processes_cannot_write_the_same_run(tmp_path):
    with (
        RolloutFolder(tmp_path / "run", PLAN),
        pytest.raises(FileError, match="another process"),
    ):
        RolloutFolder(tmp_path / "run", PLAN)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot write beside"):
        RolloutFolder(tmp_path / "file" / "run", PLAN)


def test_a_trace_survives_its_file_without_loss(tmp_path):
    trace = EpisodeTrace()
    for step in range(3):
        trace.add(np.full(14, step / 8), np.full(14, step / 4, np.float32), step)
    with RolloutFolder(tmp_path / "run", PLAN) as folder:
        folder.keep(record(0), b"", trace)
        kept = folder.trace(0)
        folder.publish()
    np.testing.assert_array_equal(kept.measured, np.array(trace.measured, np.float32))
    np.testing.assert_array_equal(kept.target_array(), np.array(trace.targets))
    assert kept.rewards == [0, 1, 2]
    assert [path.name for path in (tmp_path / "run/traces").iterdir()] == ["episode_000000.npz"]
    with pytest.raises(EvaluationError, match="no trace of 7"):
        folder.trace(7)


def test_a_disk_that_is_full_is_one_line_and_keeps_what_is_finished(tmp_path, monkeypatch):
    def fill_the_disk():
        with RolloutFolder(tmp_path / "run", PLAN) as folder:
            folder.keep(record(0), b"")
            monkeypatch.setattr(EpisodeTrace, "save", no_space)
            folder.keep(record(1), b"", EpisodeTrace())

    line = "No space left on device; 1 episodes are finished, the same command goes on from them"
    with pytest.raises(FileError, match=line):
        fill_the_disk()
    with RolloutFolder(tmp_path / "run", PLAN) as folder:
        assert list(folder.finished) == [0]


def no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
