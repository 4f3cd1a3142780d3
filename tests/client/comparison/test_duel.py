"""Two policies on the same seeds until it is decided: with a robot that needs no MuJoCo."""

import contextlib
import json

import pytest

pytest.importorskip("av", reason="rollouts need the extra sim")
pytest.importorskip("jinja2")

from handover_client.comparison import duel
from handover_client.comparison.run import compare_runs
from handover_client.connection.security import UNPROTECTED
from handover_client.report.page import write_report
from handover_client.rollout.config import EpisodeSettings, RolloutConfig
from handover_client.rollout.episode import EpisodeTask, ServedPolicy, play_task
from handover_client.rollout.run import Rollout
from handover_common import UsageError
from handover_proto.types import Limits, PolicySpec, ServerInfo

from ..rollout.test_run import DOWN, UP, VIEW
from ..stand_ins import PointRobot

SLOPES = {"up:1": UP, "down:1": DOWN}
INFO = ServerInfo(PolicySpec("ramp", (), (), (), 16), Limits(1, 1, 1.0))


@pytest.fixture
def played(monkeypatch):
    """Ramps instead of servers; which episodes of which were played, in their order."""
    calls = []

    def prepare(config, _security):
        settings = EpisodeSettings(max_steps=60, videos="none")
        server = ServedPolicy(config.server, INFO, 1.0)
        tasks = [
            EpisodeTask(settings, episode, episode, VIEW, 50.0, 20.0, 16, 0.05, server)
            for episode in range(config.episodes)
        ]
        return Rollout(tasks, ["point"])

    def play_all(tasks):
        for task in tasks:
            calls.append((task.server.address, task.episode))
            yield play_task(task, PointRobot(), SLOPES[task.server.address])

    monkeypatch.setattr(duel, "prepare_rollout", prepare)
    monkeypatch.setattr(duel, "open_simulators", lambda _: contextlib.nullcontext(play_all))
    return calls


def play(folder, servers, episodes=30):
    config = RolloutConfig(folder, episodes=episodes, workers=2)
    duel.play_until_decided(servers, config, UNPROTECTED, write_report)
    return [json.loads((folder / side / "metrics.json").read_text()) for side in "ab"]


def test_the_play_ends_when_one_is_known_to_be_better(tmp_path, played):
    worse, better = play(tmp_path, ("down:1", "up:1"))
    assert (worse["success_rate"], better["success_rate"]) == (0.0, 1.0)
    assert worse["episodes"] == better["episodes"] < 12
    comparison, _ = compare_runs(tmp_path / "a", tmp_path / "b")
    pairing = comparison.pairings[0]
    assert pairing.decided_after == worse["episodes"]
    assert len(played) <= 2 * (worse["episodes"] + 1)  # a round of two at most beyond


def test_policies_alike_are_played_to_the_end_and_stay_open(tmp_path, played):
    first, second = play(tmp_path, ("up:1", "up:1"), episodes=4)
    assert first["episodes"] == second["episodes"] == 4
    assert compare_runs(tmp_path / "a", tmp_path / "b")[0].pairings[0].decided_after is None


def test_an_interrupted_play_goes_on(tmp_path, played, monkeypatch):
    whole = duel.MeanSequence.add

    def stop(sequence, outcome):
        if len(sequence.intervals) == 3:
            raise KeyboardInterrupt
        return whole(sequence, outcome)

    monkeypatch.setattr(duel.MeanSequence, "add", stop)
    with pytest.raises(KeyboardInterrupt):
        play(tmp_path, ("down:1", "up:1"))
    monkeypatch.setattr(duel.MeanSequence, "add", whole)
    before = list(played)
    play(tmp_path, ("down:1", "up:1"))
    assert len(set(played)) == len(played), "no episode is played twice"
    assert len(played) > len(before)


def test_the_flags_belong_together():
    from handover_client.commands.compare import CompareConfig, main

    with pytest.raises(UsageError, match="--until-decided and --runs DIR belong together"):
        main(CompareConfig("a:1", "b:1", until_decided=True))
