"""A rollout from its plan to its folder, with a robot that needs no MuJoCo."""

import dataclasses
import json

import pytest

pytest.importorskip("av", reason="rollouts need the extra sim")
pytest.importorskip("jinja2")
pytest.importorskip("rich")

from handover_client.control.joint_layout import GR1_LAYOUT
from handover_client.control.robot_view import RobotView
from handover_client.errors import EvaluationError
from handover_client.report.page import render_runs, run_section, write_report
from handover_client.report.terminal import print_rollout
from handover_client.results.stopping import Question
from handover_client.rollout.config import EpisodeSettings
from handover_client.rollout.episode import EpisodeTask, ServedPolicy, play_task
from handover_client.rollout.folder import RolloutFolder
from handover_client.rollout.run import Rollout
from handover_common import FileError, write_json
from handover_proto.errors import ServerUnavailable
from handover_proto.types import Limits, PolicySpec, ServerInfo

from ..stand_ins import PointRobot, RampSource

VIEW = RobotView((), GR1_LAYOUT, {}, "up!", control_steps=2.5)
UP, DOWN = RampSource(slope=0.2), RampSource(slope=-0.2)


def run(folder, sources, videos="failures", info=None, until=None) -> list[list[int]]:
    """Roll out an episode for each source; returns which episodes each round played or drew.

    sources: of each episode; a function makes that of the episode's next play
    """
    settings = EpisodeSettings(policy="scripted", max_steps=60, videos=videos)
    server = ServedPolicy("", info, 1.0) if info else None
    tasks = [
        EpisodeTask(settings, episode, episode, VIEW, 50.0, 20.0, 16, 0.05, server)
        for episode in range(len(sources))
    ]
    rounds = []

    def play_all(rest):
        rest = list(rest)
        rounds.append([task.episode for task in rest])
        for task in rest:
            source = sources[task.episode]
            source = source() if callable(source) else source
            yield play_task(task, PointRobot(), source)

    rollout = Rollout(tasks, ["point"], until)
    with RolloutFolder(folder, rollout.plan()) as under_way:
        figures = rollout.run(under_way, play_all)
        write_json(under_way.path / "metrics.json", figures)
        write_report(under_way.path, figures)
        under_way.publish()
    return rounds


def videos_of(folder) -> list[str]:
    lines = (folder / "episodes.jsonl").read_text().splitlines()
    return [json.loads(line)["video"] for line in lines]


def test_beside_the_failures_one_success_is_drawn_from_its_trace(tmp_path):
    sources = [dataclasses.replace(each, requests=[]) for each in (DOWN, UP, UP)]
    assert run(tmp_path / "run", sources) == [[0, 1, 2], [1]]
    assert videos_of(tmp_path / "run") == [
        "videos/episode_000000.mp4",
        "videos/episode_000001.mp4",
        "",
    ]
    alone = dataclasses.replace(UP, requests=[])
    run(tmp_path / "alone", [alone], videos="none")
    assert len(sources[1].requests) == len(alone.requests)  # the policy was not asked again
    page = (tmp_path / "run/report.html").read_text()
    assert page.count("data:video/mp4;base64,") == 2
    figures = json.loads((tmp_path / "run/metrics.json").read_text())
    assert page == render_runs([run_section(tmp_path / "run", figures)])  # the line it got, too


@pytest.mark.parametrize(
    ("videos", "sources"), [("failures", [DOWN]), ("none", [UP]), ("all", [UP])]
)
def test_no_video_is_drawn_twice_or_against_the_flag(tmp_path, videos, sources):
    assert run(tmp_path / "run", sources, videos) == [[0]]


def test_every_episode_keeps_its_trace(tmp_path):
    run(tmp_path / "run", [UP, DOWN], videos="none")
    names = sorted(path.name for path in (tmp_path / "run/traces").iterdir())
    assert names == ["episode_000000.npz", "episode_000001.npz"]
    assert not (tmp_path / "run/videos").exists()


def test_a_question_ends_the_rollout_once_it_is_answered(tmp_path):
    # against a rate of 0.2 the capital of the boldest bets grows five-fold with each success
    rounds = run(tmp_path / "run", [UP] * 12, "none", until=Question.parse("success > 0.2"))
    figures = json.loads((tmp_path / "run/metrics.json").read_text())
    assert rounds == [list(range(12))]
    assert figures["until"] == {
        "question": "success > 0.2",
        "answer": True,
        "episodes_planned": 12,
    }
    assert 3 <= figures["episodes"] <= 6
    assert figures["anytime_95"][-1][0] > 0.2 > figures["anytime_95"][-2][0]
    assert len((tmp_path / "run/episodes.jsonl").read_text().splitlines()) == figures["episodes"]
    assert "yes, after" in (tmp_path / "run/report.html").read_text()


def test_the_answer_goes_by_the_episodes_order_and_not_by_which_ends_first(tmp_path):
    settings = EpisodeSettings(policy="scripted", max_steps=60, videos="none")
    tasks = [
        EpisodeTask(settings, episode, episode, VIEW, 50.0, 20.0, 16, 0.05, None)
        for episode in range(8)
    ]
    played = []

    def play_all(rest):
        for task in [*list(rest)[1:], tasks[0]]:  # the first one takes longest
            played.append(task.episode)
            yield play_task(task, PointRobot(), UP)

    rollout = Rollout(tasks, ["point"], Question.parse("success > 0.2"))
    with RolloutFolder(tmp_path / "run", rollout.plan()) as folder:
        figures = rollout.run(folder, play_all)
        folder.publish()
    assert played == [1, 2, 3, 4, 5, 6, 7, 0]
    assert figures["episodes"] < 8
    kept = sorted(path.name for path in (tmp_path / "run/traces").iterdir())
    assert len(kept) == figures["episodes"]


def test_an_open_question_is_told_so(tmp_path):
    run(tmp_path / "run", [UP, DOWN], "none", until=Question.parse("success > 0.2"))
    figures = json.loads((tmp_path / "run/metrics.json").read_text())
    assert figures["until"]["answer"] is None
    assert figures["episodes"] == 2


def test_a_log_is_told_of_every_episode(tmp_path, capsys):
    run(tmp_path / "run", [UP, DOWN], videos="none")
    said = capsys.readouterr().err.split("\n")
    assert said[:2] == ["1 of 2 episodes, success 100 %", "2 of 2 episodes, success 50 %"]


def gone(call):
    raise ServerUnavailable("gone")


LOST = RampSource(trouble=gone)


@pytest.mark.parametrize(
    ("sources", "done"),
    [([UP, LOST, LOST, LOST, UP], 1), ([LOST, LOST], 0), ([LOST], 0)],
)
def test_a_server_that_is_gone_for_good_stops_the_run_and_its_episodes_are_played_again(
    tmp_path, sources, done
):
    words = f"{done} of {len(sources)} episodes are done: when the server is back"
    with pytest.raises(EvaluationError, match=words):
        run(tmp_path / "run", sources, videos="none")
    assert not (tmp_path / "run").exists()
    rest = list(range(done, len(sources)))
    assert run(tmp_path / "run", [UP] * len(sources), videos="none") == [rest]
    figures = json.loads((tmp_path / "run/metrics.json").read_text())
    assert len(figures["played_again"]) == (3 if done else 0)  # nothing is kept of nothing


def test_a_server_of_another_precision_or_more_denoising_does_not_finish_the_run(tmp_path):
    spec = PolicySpec("gr00t", (), (), (), 16, denoising_steps=4, checkpoint_hash="abc")
    with pytest.raises(EvaluationError, match="no chunk"):
        run(tmp_path / "run", [UP, LOST, LOST, LOST], "none", ServerInfo(spec, Limits()))
    for change, words in (
        ({"denoising_steps": 8}, r"denoising_steps \(4, now 8\)"),
        ({"dtype": "bfloat16"}, r"dtype \(float32, now bfloat16\)"),
    ):
        other = ServerInfo(dataclasses.replace(spec, **change), Limits())
        with pytest.raises(FileError, match=f"another {words}"):
            run(tmp_path / "run", [UP] * 4, "none", other)


def returning(plays: int):
    """A source that is gone for an episode's first plays, and there in the next one."""
    sources = iter([LOST] * plays)
    return lambda: next(sources, dataclasses.replace(UP, requests=[]))


def test_an_episode_that_loses_its_server_is_played_again_and_named(tmp_path, capsys):
    sources = [UP, returning(1), UP, returning(2), UP]
    rounds = run(tmp_path / "run", sources)
    assert rounds == [[0, 1, 2, 3, 4], [3, 1], [3], [0]]  # the last draws a success
    figures = json.loads((tmp_path / "run/metrics.json").read_text())
    assert figures["endings"] == {"done": 5}
    assert figures["success_rate"] == 1.0
    assert [each["episode"] for each in figures["played_again"]] == [1, 3, 3]
    assert all("gone" in each["error"] for each in figures["played_again"])
    assert len((tmp_path / "run/episodes.jsonl").read_text().splitlines()) == 5
    assert [path.name for path in (tmp_path / "run/videos").iterdir()] == ["episode_000000.mp4"]
    words = "played again after their server was lost: episodes 1, 3"
    assert words in (tmp_path / "run/report.html").read_text()
    print_rollout(figures)
    assert words in capsys.readouterr().out


def test_an_episode_that_loses_its_server_again_and_again_ends_the_run_by_name(tmp_path):
    with pytest.raises(EvaluationError, match=r"episode 2: no chunk .* 3 of 4 episodes are done"):
        run(tmp_path / "run", [UP, UP, LOST, UP], videos="none")


def test_a_question_is_answered_although_an_episode_lost_its_server(tmp_path):
    settings = EpisodeSettings(policy="scripted", max_steps=60, videos="none")
    tasks = [
        EpisodeTask(settings, episode, episode, VIEW, 50.0, 20.0, 16, 0.05, None)
        for episode in range(12)
    ]
    played, first = [], returning(1)

    def play_all(rest):
        for task in rest:  # one at a time, as they are played
            played.append(task.episode)
            yield play_task(task, PointRobot(), UP if task.episode else first())

    rollout = Rollout(tasks, ["point"], Question.parse("success > 0.2"))
    with RolloutFolder(tmp_path / "run", rollout.plan()) as folder:
        figures = rollout.run(folder, play_all)
        folder.publish()
    assert figures["until"]["answer"] is True
    assert played == [0, *range(figures["episodes"])]  # at once, and none beyond the answer
    assert [each["episode"] for each in figures["played_again"]] == [0]
