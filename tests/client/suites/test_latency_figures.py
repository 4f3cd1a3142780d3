"""The latency suite's envelopes from made-up rows, and its cells for policies that differ."""

import dataclasses

import pytest
from handover_client.errors import EvaluationError
from handover_client.rollout.config import EpisodeSettings
from handover_client.suites.latency import LATENCIES_MS, LatencySuite
from handover_client.suites.latency_figures import envelopes

from ..stand_ins import SEEING

LEARNT = dataclasses.replace(SEEING, learned_delay_steps=8)
PLAIN = dataclasses.replace(SEEING, supports_prefix=False)


def row(latency_ms: int, successes: int, switching="rtc", wrong_by=0) -> dict:
    return {
        "switching": switching,
        "latency_ms": latency_ms,
        "jitter_ms": latency_ms / 10,
        "delay_error_steps": wrong_by,
        "successes": successes,
        "episodes": 100,
    }


@pytest.mark.parametrize(
    ("successes", "largest"),
    [
        ((95, 95, 93, 92), 200),  # 93 is two points below 95, 92 is three
        ((95, 92, 95, 95), 0),  # what is beyond a latency that does harm does not count
        ((95, 96, 99, 93), 300),
        ((0, 0, 0, 0), 300),
    ],
)
def test_an_envelope_ends_before_the_first_latency_that_costs_more_than_two_points(
    successes, largest
):
    rows = [row(ms, count) for ms, count in zip((0, 100, 200, 300), successes, strict=True)]
    rows.append(row(300, 0, wrong_by=2))  # a trial, not the policy's own
    (found,) = envelopes(rows[::-1])
    assert found == {
        "switching": "rtc",
        "latency_ms": largest,
        "jitter_ms": largest / 10,
        "episodes": 100,
    }


def test_each_way_of_switching_has_its_own_envelope():
    rows = [row(0, 90, "naive"), row(300, 50, "naive"), row(0, 90), row(300, 90)]
    assert [(each["switching"], each["latency_ms"]) for each in envelopes(rows)] == [
        ("naive", 0),
        ("rtc", 300),
    ]


def names(spec, **chosen) -> list[str]:
    return list(LatencySuite(**chosen).cells(EpisodeSettings(), spec))


def test_guidance_is_played_apart_where_the_policy_has_learnt_to_continue():
    assert "rtc_guided_300ms" in names(LEARNT)
    assert "rtc_guided_300ms" not in names(SEEING)
    assert not [name for name in names(PLAIN) if name.startswith("rtc")]
    ways = ("naive", "ensemble", "crossfade", "rtc", "rtc_guided", "rtc_crossfade")
    wrong = ["rtc_300ms_-2", "rtc_300ms_+2"]
    assert names(LEARNT) == [f"{way}_{ms}ms" for way in ways for ms in LATENCIES_MS] + wrong


def test_no_latency_is_always_played_and_cells_differ_in_latency_and_switching_alone():
    plain = EpisodeSettings(max_steps=77, videos="all")
    cells = LatencySuite((300,), ("naive", "rtc")).cells(plain, LEARNT)
    assert list(cells)[:4] == ["naive_0ms", "naive_300ms", "rtc_0ms", "rtc_300ms"]
    late = cells["rtc_300ms_+2"]
    assert (late.latency_ms, late.jitter_ms, late.delay_error_steps) == (300.0, 30.0, 2)
    for settings in cells.values():
        assert (settings.realtime, settings.clock, settings.videos) == (True, "simulated", "none")
        assert settings.max_steps == 77


def test_a_way_that_the_policy_lacks_is_refused():
    with pytest.raises(EvaluationError, match="--switchings rtc: the server's 'test' policy has"):
        names(PLAIN, switchings=("naive", "rtc"))
