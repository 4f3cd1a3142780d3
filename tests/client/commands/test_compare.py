"""`handover compare`: two runs side by side, and refused where they do not belong together."""

import copy
import json

import numpy as np
import pytest

pytest.importorskip("rich", reason="handover compare needs the extra replay")
pytest.importorskip("jinja2")

from handover_client.commands import main as cli
from handover_client.comparison.comparison import SHARE, Change, Pairing
from handover_client.comparison.replays import compare_replays
from handover_client.connection.policy_client import PolicyClient
from handover_client.replay.replayer import ReplayPlan
from handover_client.replay.run import prepare_replay
from handover_client.results.statistics import PairedOutcomes
from handover_common import write_json
from handover_proto.types import ActionChunk, Limits, ServerInfo
from handover_proto.wire import encode_chunk, encode_info


@pytest.fixture
def make_run(start_server, recordings, tmp_path):
    """Replay a policy that answers `value` everywhere; returns the folder of the run."""

    def make(name, value, **changes):
        def constant(request, context):
            action = {
                "arm": np.full((4, 2), value, np.float32),
                "gripper": np.full((4, 1), value, np.float32),
            }
            return encode_chunk(
                ActionChunk(action, request.seed, request.sequence, request.client_tag)
            )

        info = encode_info(ServerInfo(recordings.spec, Limits()))
        server = start_server(answer=constant, info=info)
        traj_ids = changes.pop("traj_ids", ())
        plan = ReplayPlan(**{"steps": 200, "action_horizon": 4, "seed": 0, **changes})
        with PolicyClient.connect(server.address, timeout_s=60) as client:
            _, figures = prepare_replay(recordings, client, plan, traj_ids).run()
        folder = tmp_path / name
        folder.mkdir()
        write_json(folder / "metrics.json", figures)
        return folder

    return make


def read(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_before_after_and_difference_are_those_of_the_two_runs(make_run, tmp_path, capsys):
    before, after = make_run("before", 5.0), make_run("after", 0.0)
    page = tmp_path / "pages" / "compare.html"
    assert cli.run(["compare", str(before), str(after), "--output", str(page)]) == 0
    printed = capsys.readouterr().out
    mse = [read(folder)["all"]["mse"] for folder in (before, after)]
    row = next(line for line in printed.splitlines() if line.startswith("MSE"))
    assert row.split() == ["MSE", *(f"{x:.5f}" for x in mse), f"{mse[1] - mse[0]:+.5f}", "better"]
    assert "episode 6" in printed
    html = page.read_text()
    assert f"{mse[0]:.5f}" in html
    assert "Before and after" in html


def test_the_same_run_twice_differs_in_nothing(make_run):
    figures = read(make_run("run", 0.0))
    comparison = compare_replays(figures, figures)
    assert comparison.mismatches == comparison.notes == ()
    changes = [change for section in comparison.sections for change in section.changes]
    # parts, latency (that server reports no stages), two figures of each episode
    assert len(changes) == 3 * 9 + 3 + 2 * 3
    assert all(change.difference == 0 and change.verdict == "" for change in changes)


def all_numbers(figures, value):
    """Give figures of which every fraction is this value."""
    if isinstance(figures, dict):
        return {key: all_numbers(each, value) for key, each in figures.items()}
    if isinstance(figures, list):
        return [all_numbers(each, value) for each in figures]
    return value if isinstance(figures, float) else figures


def test_every_figure_is_of_its_run_and_knows_what_is_better(make_run):
    figures = read(make_run("run", 0.0))
    comparison = compare_replays(all_numbers(figures, 0.25), all_numbers(figures, 0.5))
    for section in comparison.sections:
        for change in section.changes:
            assert (change.before, change.after) == (0.25, 0.5), (section.title, change.name)
            more_is_better = "success" in (section.title + change.name) or "acc" in change.name
            expected = "better" if more_is_better else "worse"
            assert change.verdict == ("" if "drift" in change.name else expected), change.name


def test_runs_of_other_values_or_of_other_episodes_are_compared_in_what_they_share(make_run):
    before, after = read(make_run("before", 0.0)), read(make_run("after", 0.0, traj_ids=(3, 6)))
    del after["parts"]["gripper"]
    comparison = compare_replays(before, after)
    assert "values judged: all, arm, gripper and all, arm" in comparison.mismatches
    assert [mismatch.partition(":")[0] for mismatch in comparison.mismatches] == [
        *("episodes", "values judged")
    ]
    names = [[change.name for change in section.changes] for section in comparison.sections]
    assert names[-2:] == [["episode 3", "episode 6"]] * 2
    after["headline"] = "arm"
    assert len(compare_replays(before, after).sections) == len(comparison.sections) - 2


def test_a_policy_is_named_by_its_checkpoint_and_its_hash_where_it_has_them(make_run):
    before = read(make_run("run", 0.0))
    after = copy.deepcopy(before)
    before["provenance"]["server"].update(checkpoint="step-9", checkpoint_hash="c0ffee" * 4)
    after["provenance"]["server"].update(checkpoint="", checkpoint_hash="")
    comparison = compare_replays(before, after)
    assert (comparison.before, comparison.after) == ("step-9 (c0ffeec0ffee)", "scripted")


@pytest.mark.parametrize(
    ("only_a", "only_b", "words"),
    [
        (0, 5, "p = 0.062; chance alone would explain it"),  # 2/32
        (6, 0, "p = 0.031; the runs differ"),  # 2/64
        (0, 10, "p = 0.002; the runs differ"),  # 2/1024
        (0, 11, "p < 0.001; the runs differ"),
    ],
)
def test_a_pairing_says_whether_the_runs_differ(only_a, only_b, words):
    pairing = Pairing("success", PairedOutcomes(7, only_a, only_b, 3))
    assert pairing.verdict().endswith(words)


def test_other_steps_or_datasets_are_refused_by_name(make_run, capsys):
    before, after = make_run("before", 0.0), make_run("after", 0.0, steps=5)
    assert cli.run(["compare", str(before), str(after)]) == 1
    assert "steps: 200 and 5; --anyway" in capsys.readouterr().err
    assert cli.run(["compare", str(before), str(after), "--anyway"]) == 0
    assert "not comparable: steps: 200 and 5" in capsys.readouterr().out


def test_a_dataset_is_known_by_its_content(make_run):
    before = read(make_run("run", 0.0))
    after = copy.deepcopy(before)
    after["provenance"]["dataset"] = {"name": "fake", "hash": "0" * 64}
    (mismatch,) = compare_replays(before, after).mismatches
    assert mismatch.startswith("dataset: fake (da7ada7ada7a) and fake (000000000000)")


def test_another_seed_or_horizon_is_noted_and_compared(make_run, capsys):
    before, after = make_run("before", 0.0), make_run("after", 0.0, seed=1, action_horizon=2)
    assert cli.run(["compare", str(before), str(after)]) == 0
    printed = capsys.readouterr().out
    assert "note: action horizon: 4 and 2" in printed
    assert "note: seed: 0 and 1" in printed


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "other has no metrics.json"),
        ("not json", "metrics.json cannot be read"),
        ("[]", "it has no 'kind'"),
        ("{}", "it has no 'kind'"),
        ('{"kind": ["replay"]}', "it has no 'kind'"),
        ('{"kind": "dance"}', "cannot compare a replay run with a dance run"),
        ('{"kind": "rollout"}', "cannot compare a replay run with a rollout run"),
        ('{"kind": "replay"}', "a run that this version cannot compare (KeyError"),
    ],
)
def test_folders_that_are_no_runs_are_one_line(make_run, tmp_path, capsys, content, told):
    other = tmp_path / "other"
    other.mkdir()
    if content is not None:
        (other / "metrics.json").write_text(content)
    assert cli.run(["compare", str(make_run("run", 0.0)), str(other)]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert told in line


def test_runs_of_an_unknown_kind_and_files_are_one_line(tmp_path, capsys):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "metrics.json").write_text('{"kind": "dance"}')
    assert cli.run(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    assert "cannot compare a dance run with a dance run" in capsys.readouterr().err
    file = str(tmp_path / "a/metrics.json")
    assert cli.run(["compare", file, file]) == 1
    assert "cannot compare a dance run with a dance run" in capsys.readouterr().err
    inside = f"{file}/inside"
    assert cli.run(["compare", inside, inside]) == 1
    assert "inside/metrics.json cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "cells", "verdict"),
    [
        (
            Change("success", 0.5, 0.625, True, SHARE),
            ("50.0 %", "62.5 %", "+12.5 points"),
            "better",
        ),
        (Change("MSE", 0.1, 0.2, False, ".2f"), ("0.10", "0.20", "+0.10"), "worse"),
        (Change("drift", 0.1, 0.2, None, ".1f"), ("0.1", "0.2", "+0.1"), ""),
        (Change("MSE", 0.1, None, False, ".1f"), ("0.1", "–", "–"), ""),
        (Change("MSE", None, 0.1, False, ".1f"), ("–", "0.1", "–"), ""),
    ],
)
def test_a_change_is_written_with_its_verdict(change, cells, verdict):
    assert change.cells() == cells
    assert change.verdict == verdict
