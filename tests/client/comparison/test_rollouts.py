"""`handover compare` on two rollouts: pairs of the same episodes."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("rich", reason="handover compare needs the extra replay")
pytest.importorskip("jinja2")

from handover_client.commands import main as cli
from handover_client.comparison import rollouts
from handover_client.comparison.rollouts import compare_rollouts
from handover_client.rollout.config import EpisodeSettings
from handover_client.rollout.figures import rollout_figures
from handover_common import write_json

from ..rollout.test_folder import record

SETTINGS = {
    "task": "transfer_cube",
    "max_steps": 400,
    "execute_steps": 8,
    "realtime": False,
    "clock": "wall",
    "switching": "naive",
    "latency_ms": 0.0,
}


def run_of(successes: list[bool], first_seed: int = 1000, **settings) -> dict:
    records = [
        record(episode, seed=first_seed + episode, success=success, strict_success=False)
        if not success
        else record(
            episode,
            seed=first_seed + episode,
            success=True,
            strict_success=True,
            max_reward=4,
            first_steps={1: 1, 2: 2, 3: 3, 4: 200 + episode},
        )
        for episode, success in enumerate(successes)
    ]
    return {
        "kind": "rollout",
        **rollout_figures(records, 50.0),
        "settings": {**SETTINGS, **settings},
        "objects": ["cube"],
        "control_rate_hz": 50.0,
        "provenance": {"server": None},
    }


BEFORE = [True, True, False, False, False, False, False, False, False, True]
AFTER = [True, False, True, True, True, True, True, True, True, True]


def test_the_same_seeds_are_paired():
    comparison = compare_rollouts(run_of(BEFORE), run_of(AFTER))
    counts = comparison.pairings[0].counts
    assert (counts.both, counts.only_a, counts.only_b, counts.neither) == (2, 1, 7, 0)
    assert counts.p_value == pytest.approx(2 * (1 + 8) / 256)
    assert comparison.mismatches == ()
    (success, *_) = comparison.sections[0].changes
    assert success.cells() == ("30.0 %", "90.0 %", "+60.0 points")
    assert success.verdict == "better"


def test_pairs_tell_after_how_many_they_were_decided_however_often_one_looks():
    # with all of n pairs won the capital is the mean of (1 + b)^n over the bets: 40 after 7
    comparison = compare_rollouts(run_of([False] * 10), run_of([True] * 10))
    bets = (np.arange(64) + 0.5) / 64
    needed = next(n for n in range(20) if np.mean((1 + bets) ** n) >= 40)
    (pairing, _) = comparison.pairings
    assert pairing.decided_after == needed
    assert f"decided after {needed} of 10 pairs: after is better" in pairing.anytime_verdict()
    (undecided, _) = compare_rollouts(run_of(BEFORE), run_of(BEFORE)).pairings
    assert undecided.anytime_verdict().endswith("points; not decided")


def test_episodes_are_known_by_seed_and_not_by_number():
    comparison = compare_rollouts(run_of(BEFORE), run_of(BEFORE[1:], first_seed=1001))
    assert comparison.mismatches == ("seeds: 9 are in both of 10 and 9",)
    counts = comparison.pairings[0].counts
    assert (counts.both, counts.only_a, counts.only_b, counts.neither) == (2, 0, 0, 7)


def test_another_task_is_a_mismatch_and_another_latency_a_note():
    comparison = compare_rollouts(
        run_of(BEFORE), run_of(BEFORE, task="insertion", latency_ms=100.0, realtime=True)
    )
    assert comparison.mismatches == ("task: transfer_cube and insertion",)
    assert comparison.notes == ("real time: False and True", "added latency, ms: 0.0 and 100.0")


def test_another_way_from_chunk_to_chunk_is_a_note():
    simulated = {"realtime": True, "clock": "simulated"}
    comparison = compare_rollouts(
        run_of(BEFORE, **simulated), run_of(BEFORE, **simulated, switching="rtc")
    )
    assert comparison.notes == ("switching from chunk to chunk: naive and rtc",)


def test_the_command_prints_the_pairs_and_writes_them(tmp_path, capsys):
    for name, successes in (("before", BEFORE), ("after", AFTER)):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "metrics.json", run_of(successes))
    page = tmp_path / "compare.html"
    command = ["compare", str(tmp_path / "before"), str(tmp_path / "after"), "--output", str(page)]
    assert cli.run(command) == 0
    printed = capsys.readouterr().out
    assert "p = 0.070; chance alone would explain it" in printed
    assert "…" not in printed  # no name is cut off
    rows = [line.split() for line in printed.splitlines()]
    assert ["before:", "yes", "2", "1"] in rows
    assert ["before:", "no", "7", "0"] in rows
    assert "p = 0.070" in page.read_text()


def test_a_changed_world_is_named_and_noted():
    comparison = compare_rollouts(
        run_of(BEFORE, change="", camera=[], group=[]),
        run_of(BEFORE, change="light:3", camera=["cam=angle"], group=["arms=0:14"]),
    )
    assert comparison.before == "the scripted expert"
    assert comparison.after == "the scripted expert, light changed at strength 3"
    assert comparison.notes == (
        "changed world: none and light:3",
        "cameras told: none and cam=angle",
        "groups told: none and arms=0:14",
    )
    older = compare_rollouts(run_of(BEFORE), run_of(BEFORE, change="", camera=[], group=[]))
    assert older.notes == ()


def test_another_instruction_is_noted():
    first, second = run_of(BEFORE), run_of(BEFORE)
    first["instruction"], second["instruction"] = "Fold the towel.", "fold the towel"
    note = "instruction: “Fold the towel.” and “fold the towel”"
    assert compare_rollouts(first, second).notes == (note,)


def test_everything_that_decides_an_episode_is_compared():
    named = {*rollouts._MUST_AGREE, *rollouts._WORTH_A_NOTE}
    told_otherwise = {
        "policy",  # the runs' names
        "policy_rate_hz",  # chunk_rate_hz
        *("videos", "video_rate_hz"),  # no outcome depends on them
    }
    settings = {field.name for field in dataclasses.fields(EpisodeSettings)}
    assert settings - told_otherwise <= named


def test_episodes_that_lost_their_server_in_older_runs_are_no_pairs():
    before, after = run_of([True] * 10), run_of([False] * 10)
    for each in after["per_episode"][:8]:
        each["ended"] = "server_lost"
    comparison = compare_rollouts(before, after)
    for pairing in comparison.pairings:
        assert pairing.counts.only_a == 2
        assert pairing.decided_after is None
    assert comparison.notes == (
        "after: episodes 0, 1, 2, 3, 4, 5, 6, 7 lost their server: they are in no pair, and count "
        "as failures in the shares",
    )
