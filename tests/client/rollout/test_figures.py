"""The figures of a rollout against hand-counted episodes."""

import pytest
from handover_client.control.retries import Outage
from handover_client.results.latency import STAGES
from handover_client.results.statistics import wilson_95
from handover_client.rollout.figures import rollout_figures

from .test_folder import record


def episodes():
    stages = {stage: [0.5, 0.5] for stage in STAGES}
    success = {
        "success": True,
        "max_reward": 4,
        "first_steps": {1: 50, 2: 100, 3: 150, 4: 200},
        "ended": "done",
        "outages": [],
        "stage_ms": stages,
    }
    return [
        record(0, **success, strict_success=True),
        record(1, **{**success, "first_steps": {1: 1, 2: 2, 3: 3, 4: 300}}),
        record(2, stage_ms=stages),
        record(
            3,
            max_reward=0,
            first_steps={},
            ended="server_lost",
            latency_ms=[],
            stage_ms={stage: [] for stage in STAGES},
            jerk_rms=None,
            outages=[Outage(0, "gone", 9, 30.0, False)],
        ),
    ]


@pytest.fixture
def figures():
    return rollout_figures(episodes(), control_rate_hz=50.0)


def test_success_and_its_interval(figures):
    assert figures["episodes"] == 4
    assert figures["success_rate"] == 0.5
    assert figures["wilson_95"] == list(wilson_95(2, 4))
    assert figures["strict"]["success_rate"] == 0.25


def test_the_funnel_narrows(figures):
    shares = [figures["funnel"][str(reward)]["success_rate"] for reward in (1, 2, 3, 4)]
    assert shares == [0.75, 0.75, 0.5, 0.5]


def test_time_to_success_is_in_simulated_seconds(figures):
    assert figures["time_to_success_s"]["p50"] == 5.0
    assert figures["time_to_success_s"]["max"] == 6.0
    times_s = [each["time_to_success_s"] for each in figures["per_episode"]]
    assert times_s == [4.0, 6.0, None, None]


def test_latency_is_over_every_answer(figures):
    assert figures["latency_ms"]["client"]["p50"] == 3.5
    assert figures["latency_ms"]["server_total"]["mean"] == 3.0


def test_outages_are_summed_up(figures):
    assert figures["outages"] == {
        "count": 2,
        "recovered": 1,
        "longest_s": 30.0,
        "episodes": [2, 3],
    }
    assert figures["endings"] == {"done": 2, "max_steps": 1, "server_lost": 1}


def test_a_run_without_success_and_without_a_server_has_no_times():
    only = [episodes()[3]]
    figures = rollout_figures(only, 50.0)
    assert figures["time_to_success_s"] is figures["latency_ms"] is figures["jerk_rms"] is None
    assert figures["success_rate"] == 0.0


def test_a_run_without_an_outage_has_none():
    none = {"count": 0, "recovered": 0, "longest_s": 0.0, "episodes": []}
    assert rollout_figures(episodes()[:2], 50.0)["outages"] == none


def test_steps_are_added_up_over_the_episodes():
    names = ("dropped_steps", "dry_steps", "late_steps")
    counts = [dict(zip(names, counts, strict=True)) for counts in ((1, 20, 300), (4, 50, 600))]
    figures = rollout_figures([record(k, **each) for k, each in enumerate(counts)], 50.0)
    assert [figures[name] for name in names] == [5, 70, 900]


def test_plays_that_lost_their_server_are_named_and_not_counted():
    whole, lost = episodes()[:2], episodes()[3]
    figures = rollout_figures(whole, 50.0, [lost])
    assert figures["played_again"] == [{"episode": 3, "seed": 1003, "error": ""}]
    del figures["played_again"]
    plain = rollout_figures(whole, 50.0)
    assert plain.pop("played_again") == []
    assert figures == plain
