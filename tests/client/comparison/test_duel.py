"""Two policies on the same seeds until it is decided: with a robot that needs no MuJoCo."""

import contextlib
import json
from pathlib import Path

import pytest

pytest.importorskip("av", reason="rollouts need the extra sim")
pytest.importorskip("jinja2")

from handover_client.commands.compare import CompareConfig, main
from handover_client.comparison import duel
from handover_client.comparison.run import compare_runs
from handover_client.connection.security import UNPROTECTED
from handover_client.errors import EvaluationError
from handover_client.report.page import write_report
from handover_client.rollout.config import EpisodeSettings, RolloutConfig
from handover_client.rollout.episode import EpisodeTask, ServedPolicy, play_task
from handover_client.rollout.run import Rollout
from handover_common import UsageError
from handover_proto.types import ActionSpec, CameraSpec, Limits, PolicySpec, ServerInfo

from ..rollout.test_run import DOWN, LOST, UP, VIEW
from ..stand_ins import PointRobot, RampSource

SLOPES = {"up:1": UP, "up:2": UP, "down:1": DOWN}
INFO = ServerInfo(PolicySpec("ramp", (), (), (), 16), Limits(1, 1, 1.0))


class Plays(list):
    """Which episodes of which address were played, in their order.

    gone: {(address, episode): how many of its first plays lose their server}
    """

    def __init__(self) -> None:
        super().__init__()
        self.gone: dict[tuple[str, int], int] = {}
        self.settings: list[EpisodeSettings] = []

    def source(self, address: str, episode: int) -> RampSource:
        """What the next play asks."""
        self.append((address, episode))
        lost = self.count((address, episode)) <= self.gone.get((address, episode), 0)
        return LOST if lost else SLOPES[address]


@pytest.fixture
def played(monkeypatch):
    """Ramps instead of servers."""
    calls = Plays()

    def prepare(config, _security):
        calls.settings.append(config.settings)
        settings = EpisodeSettings(max_steps=60, videos="none")
        server = ServedPolicy(config.server, INFO, 1.0)
        tasks = [
            EpisodeTask(settings, episode, episode, VIEW, 50.0, 20.0, 16, 0.05, server)
            for episode in range(config.episodes)
        ]
        return Rollout(tasks, ["point"])

    def play_all(tasks):
        for task in tasks:
            source = calls.source(task.server.address, task.episode)
            yield play_task(task, PointRobot(), source)

    monkeypatch.setattr(duel, "prepare_rollout", prepare)
    monkeypatch.setattr(duel, "open_simulators", lambda _: contextlib.nullcontext(play_all))
    return calls


def play(folder, servers, episodes=30, **settings):
    config = RolloutConfig(
        folder, settings=EpisodeSettings(**settings), episodes=episodes, workers=2
    )
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


def test_an_outage_is_no_verdict(tmp_path, played):
    """Each of one side's episodes loses its server once: 0 against 20, if that counted."""
    played.gone = {("up:2", episode): 1 for episode in range(20)}
    first, second = play(tmp_path, ("up:1", "up:2"), episodes=20)
    assert first["success_rate"] == second["success_rate"] == 1.0
    assert first["episodes"] == second["episodes"] == 20
    assert first["played_again"] == []
    assert [each["episode"] for each in second["played_again"]] == list(range(20))
    comparison, _ = compare_runs(tmp_path / "a", tmp_path / "b")
    assert comparison.pairings[0].decided_after is None
    assert comparison.pairings[0].counts.both == 20
    (note,) = comparison.notes
    assert note.startswith("after: played again after their server was lost: episodes 0, 1, 2")


def test_a_server_that_is_gone_ends_the_play_which_goes_on_when_it_is_back(tmp_path, played):
    played.gone = {("up:2", episode): 99 for episode in range(4, 30)}
    with pytest.raises(EvaluationError, match=r"up:2: episode 4: no chunk .* 4 of 30 episodes"):
        play(tmp_path, ("down:1", "up:2"))
    assert not (tmp_path / "a").exists()
    finished = {call for call in played if call not in played.gone}
    played.gone = {}
    before = len(played)
    worse, better = play(tmp_path, ("down:1", "up:2"))
    assert (worse["success_rate"], better["success_rate"]) == (0.0, 1.0)
    assert not finished & set(played[before:]), "what was finished is not played again"


def see(monkeypatch, cameras: dict[str, str], groups: dict[str, str], rates_hz=None) -> None:
    """Let each address's policy have one camera and one group of these names, and tell a rate."""

    def find(config, _security):
        spec = PolicySpec(
            "ramp",
            (CameraSpec(cameras[config.server]),),
            (),
            (ActionSpec(groups[config.server], 14),),
            16,
            (rates_hz or {}).get(config.server, 0.0),
        )
        return ServedPolicy(config.server, ServerInfo(spec, Limits(1, 1, 1.0)), 1.0)

    monkeypatch.setattr(duel, "find_server", find)


def test_each_policy_gets_the_cameras_and_groups_that_it_has(tmp_path, played, monkeypatch):
    see(monkeypatch, {"up:1": "cam", "up:2": "eye"}, {"up:1": "joints", "up:2": "arms"})
    told = {"camera": ("cam=angle",), "group": ("arms=0:14", "joints=0:14"), "policy_rate_hz": 50.0}
    play(tmp_path, ("up:1", "up:2"), episodes=2, **told)
    first, second = played.settings
    assert (first.camera, first.group) == (("cam=angle",), ("joints=0:14",))
    assert (second.camera, second.group) == ((), ("arms=0:14",))
    assert first.policy_rate_hz == second.policy_rate_hz == 50.0


def test_a_rate_is_for_the_policy_whose_server_tells_none(tmp_path, played, monkeypatch):
    named = {"up:1": "cam", "up:2": "cam"}
    see(monkeypatch, named, named, rates_hz={"up:1": 20.0})
    play(tmp_path, ("up:1", "up:2"), episodes=2, policy_rate_hz=50.0)
    first, second = played.settings
    assert (first.policy_rate_hz, second.policy_rate_hz) == (None, 50.0)
    see(monkeypatch, named, named, rates_hz={"up:1": 20.0, "up:2": 50.0})
    with pytest.raises(UsageError, match=r"both servers tell their policy's rate \(20 and 50 Hz"):
        play(tmp_path / "told", ("up:1", "up:2"), policy_rate_hz=50.0)


def test_a_camera_that_neither_policy_has_is_named(tmp_path, played, monkeypatch):
    see(monkeypatch, {"up:1": "cam", "up:2": "eye"}, {"up:1": "joints", "up:2": "arms"})
    words = r"--camera nose=top: the policies have cam \(RUN_A\) and eye \(RUN_B\)"
    with pytest.raises(UsageError, match=words):
        play(tmp_path, ("up:1", "up:2"), camera=("cam=top", "nose=top"))
    with pytest.raises(UsageError, match=r"--group legs=0:7: the policies have joints"):
        play(tmp_path, ("up:1", "up:2"), group=("legs=0:7",))
    assert not played


def test_the_command_hands_its_flags_on(tmp_path, monkeypatch):
    def stop(servers, config, security, write_report, specs):
        raise UsageError(str(config.settings))

    monkeypatch.setattr(duel, "play_until_decided", stop)
    told = {
        "task": "insertion",
        "policy_rate_hz": 50.0,
        "camera": ("cam=top",),
        "group": ("arms=0:14",),
    }
    config = CompareConfig("a:1", "b:1", until_decided=True, runs=tmp_path, **told)
    with pytest.raises(UsageError) as stopped:
        main(config)
    assert str(stopped.value) == str(EpisodeSettings(**told))


@pytest.mark.parametrize("name", ["task", "policy_rate_hz", "camera", "group", "spec_b"])
def test_flags_of_a_play_are_refused_where_nothing_is_played(name):
    value = {"task": "insertion", "policy_rate_hz": 50.0, "spec_b": Path("spec.json")}
    flag = name.replace("_", "-")
    with pytest.raises(UsageError, match=f"^--{flag} needs --until-decided"):
        main(CompareConfig("a", "b", **{name: value.get(name, ("cam=top",))}))


def test_the_flags_belong_together():
    with pytest.raises(UsageError, match="--until-decided and --runs DIR belong together"):
        main(CompareConfig("a:1", "b:1", until_decided=True))
