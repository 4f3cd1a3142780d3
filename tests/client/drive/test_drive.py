"""`handover drive` on a robot in memory: what it sends, keeps, refuses, and how it ends."""

import json
import os
import re
import shutil
import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="recording needs the extra sim or replay")
pytest.importorskip("av")
pytest.importorskip("jinja2")

import pyarrow.parquet as pq
from handover_client.commands import drive as drive_command
from handover_client.commands import main as cli
from handover_client.connection.policy_client import PolicyClient
from handover_client.control import RealTimeController
from handover_client.drive import episode as drive_episode
from handover_client.drive import run as drive_run
from handover_client.drive.robots import registry
from handover_client.errors import NoPlan
from handover_common import HandoverError
from handover_conversion.pipeline.command import main as convert
from handover_conversion.pipeline.config import ConvertConfig
from handover_proto import GR1_DIMS, PolicyOutput, ServerUnavailable, aloha_targets
from handover_proto.embodiment import split_groups, widen
from handover_server.policies.hold import ALOHA_HOLD, HoldPolicy

from benchmarks.robots.told import count_outside

from ..report.pages import foreign_addresses
from .fakes import LIMITS, Keys, PointRobot, TableRobot

ROBOT = f"{__package__}.fakes:PointRobot"
TABLE = f"{__package__}.fakes:TableRobot"
SUCCESS = [(0.4, "success")]


class Towards(HoldPolicy):
    """Asks for one pose, or for what a function makes of the request."""

    def __init__(self, pose):
        super().__init__(replace(ALOHA_HOLD, checkpoint_hash="c0ffee"))
        self.pose = pose

    def infer(self, requests):
        chunk = np.repeat(self.pose()[None], 16, axis=0)
        return [PolicyOutput(split_groups(widen(chunk))) for _ in requests]


@pytest.fixture
def drive(monkeypatch, serve_policy, tmp_path):
    """Drive a robot of fakes.py with an operator: returns the exit status and the robot."""
    PointRobot.made.clear()

    def run(policy, operator, *more, robot=ROBOT, output="driven"):
        monkeypatch.setattr(drive_run, "_operator", lambda config, robot: operator)
        flags = {
            "--robot": [robot],
            "--server": [serve_policy(policy).address],
            "--task": ["Pick up the cube."],
            "--output": [str(tmp_path / output)],
            "--camera": ["ego_view=top"],
            "--start-rad-s": ["3"],
        }
        for word in more:
            if word.startswith("--"):
                flags[word] = values = []
            else:
                values.append(word)
        status = cli.run(
            ["drive", *(each for flag in flags.items() for each in (flag[0], *flag[1]))]
        )
        return status, PointRobot.made[-1] if PointRobot.made else None

    return run


def rows_of(folder, episode=0):
    path = folder / f"data/chunk-000/episode_{episode:06d}.parquet"
    return {name: np.array(values) for name, values in pq.read_table(path).to_pydict().items()}


def test_a_session_is_a_dataset_that_converts_as_it_is(drive, tmp_path, capsys):
    pose = np.full(14, 0.2, np.float32)
    status, robot = drive(Towards(lambda: pose), Keys([[(1.0, "success")], [(0.4, "failure")]]))
    assert status == 0
    driven = tmp_path / "driven"
    assert f"dataset and report: {driven}" in capsys.readouterr().out
    figures = json.loads((driven / "metrics.json").read_text())
    assert (figures["episodes"], figures["judged"], figures["successes"]) == (2, 2, 1)
    assert [each["outcome"] for each in figures["per_episode"]] == ["success", "failure"]
    page = (driven / "report.html").read_text()
    assert "Driven: robot" in page
    assert foreign_addresses(page) == []
    first, second = rows_of(driven), rows_of(driven, 1)
    assert first["success"].all()
    assert not second["success"].any()
    assert not first["intervention"].any()
    # 1 s at 50 Hz, whatever the machine: rows count time
    assert len(first["action"]) >= 50
    np.testing.assert_allclose(np.diff(first["timestamp"]), 0.02, atol=1e-6)
    assert robot.calls[0] == "connect"
    assert robot.calls[-2:] == ["hold", "release"]
    convert(
        ConvertConfig(
            source=str(driven), output=tmp_path / "groot", workers=1, image_size=32, fps=20.0
        )
    )
    assert (tmp_path / "groot/meta/modality.json").is_file()


def test_a_hostile_policy_never_moves_the_robot_out_of_its_limits(drive, tmp_path):
    random = np.random.default_rng(0)
    # as wild as the client lets an answer be: the wire's own limits are tested there
    hostile = Towards(lambda: random.uniform(-0.95, 1.95, 14).astype(np.float32))
    status, robot = drive(hostile, Keys([[(0.8, "failure")]]))
    assert status == 0
    commands = np.array([np.full(14, 0.1), *robot.commands])
    velocity = np.diff(commands, axis=0) / 0.02
    assert (np.abs(commands) <= 1.0).all()
    assert (np.abs(velocity) <= LIMITS.velocity + 1e-6).all()
    rows = rows_of(tmp_path / "driven")  # that know of missed steps, after which it moves from rest
    assert count_outside(rows["action"], rows["late_ms"], vars(LIMITS), 0.02) == 0
    figures = json.loads((tmp_path / "driven/metrics.json").read_text())
    assert figures["guard"]["joint limit"] > 0
    assert 0 < figures["guarded_steps"] <= rows["guarded"].sum() <= figures["steps"]


@pytest.mark.parametrize("value", [1e4, np.nan, -np.inf])
def test_an_answer_that_no_robot_could_follow_ends_the_episode_where_it_is(drive, tmp_path, value):
    policy = Towards(lambda: np.full(14, value, np.float32))
    status, robot = drive(policy, Keys([[(9.0, "success")]]))
    assert status == 0
    assert robot.calls[-2:] == ["hold", "release"]
    (episode,) = json.loads((tmp_path / "driven/metrics.json").read_text())["per_episode"]
    assert episode["ended"] == "policy_error"
    assert "breaks the contract" in episode["error"]
    rows = rows_of(tmp_path / "driven")
    np.testing.assert_allclose(rows["action"], 0.0, atol=0.01)  # the start pose


def test_a_dry_run_sends_and_keeps_nothing_and_says_what_it_would(
    drive, tmp_path, capsys, monkeypatch
):
    shown = []
    monkeypatch.setattr(drive_command._Screen, "show", lambda _, line: shown.append(line))
    pose = Towards(lambda: np.full(14, 1.8, np.float32))
    status, robot = drive(pose, Keys([[(0.5, "success")]]), "--dry-run")
    assert status == 0
    assert robot.commands == []
    assert not (tmp_path / "driven").exists()
    assert "guard: joint limit" in capsys.readouterr().out
    last = [line for line in shown if "DRY RUN" in line][-1]
    assert re.search(r"episode 0, [\d.]+ s, policy drives, latency", last)
    assert re.search(r" [\d.]+ Hz, late [\d.]+ ms, guard \d+, DRY RUN, would be told", last)
    assert len(last.partition("told ")[2].split()) == 14


class Rises(Towards):
    """Asks for half a radian a second more than where the robot is."""

    def infer(self, requests):
        ramp = np.linspace(0, 0.4, 16)[:, None]
        now = [aloha_targets({n: v[-1:] for n, v in r.observation.state.items()}) for r in requests]
        return [PolicyOutput(split_groups(widen((pose + ramp).astype("f4")))) for pose in now]


def test_a_tenth_of_the_speed_is_a_tenth_of_the_way(drive, tmp_path):
    ways = {}
    for speed in ("1", "0.1"):
        status, _ = drive(Rises(None), Keys([[(2.0, "failure")]]), "--speed", speed)
        assert status == 0
        rows = rows_of(tmp_path / "driven")["action"][:, 0]
        ways[speed] = rows.max() - rows.min()
        shutil.rmtree(tmp_path / "driven")
    assert ways["1"] > 0.15
    assert 0 < ways["0.1"] < 0.3 * ways["1"]


@pytest.mark.parametrize(
    ("camera", "said"),
    [
        ("ego_view=/dev/video0", "has cameras of its own"),
        ("ego_view", "expected POLICYCAMERA=ROBOTCAMERA"),
    ],
)
def test_a_robot_with_cameras_of_its_own_takes_no_others(drive, capsys, camera, said):
    status, _ = drive(HoldPolicy(), Keys([SUCCESS]), "--camera", camera)
    assert status == 2
    assert said in capsys.readouterr().err


def test_what_does_not_fit_is_a_line_each_with_its_remedy(drive, tmp_path, capsys):
    bare = [replace(group, unit="") for group in ALOHA_HOLD.action]
    policy = HoldPolicy(replace(ALOHA_HOLD, rate_hz=0.0, action=tuple(bare)))
    status, robot = drive(policy, Keys([SUCCESS]), "--camera", "ego_view=wrist", "other=top")
    told = capsys.readouterr().err
    assert status == 1
    assert "camera 'wrist': the robot has top: --camera ego_view=ROBOTCAMERA" in told
    assert "--camera other=…: the policy has no such camera; it has: ego_view" in told
    assert "--policy-rate-hz" in told
    assert "--robot-units" in told
    assert robot.commands == []
    assert robot.calls[-1] == "release"
    assert not (tmp_path / "driven").exists()


def test_a_failure_loses_the_running_episode_alone_and_the_session_goes_on(drive, tmp_path):
    broken = Keys([SUCCESS, [(0.2, HandoverError("the arm is gone"))]])
    status, robot = drive(HoldPolicy(), broken)
    assert status == 1
    assert robot.calls[-2:] == ["hold", "release"]
    assert not (tmp_path / "driven").exists()
    status, _ = drive(HoldPolicy(), Keys([SUCCESS]), "--episodes", "2")
    assert status == 0
    figures = json.loads((tmp_path / "driven/metrics.json").read_text())
    assert [each["episode"] for each in figures["per_episode"]] == [0, 1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_robot_and_keeps_what_was_driven(drive, tmp_path, number):
    class Interrupted(Keys):
        def keys(self, phase, seconds):
            if phase == "running" and seconds >= 0.3:
                os.kill(os.getpid(), number)
            return super().keys(phase, seconds)

    status, robot = drive(HoldPolicy(), Interrupted([[(9.0, "success")]]))
    assert status == 130
    assert robot.calls[-2:] == ["hold", "release"]
    figures = json.loads((tmp_path / "driven/metrics.json").read_text())
    assert figures["per_episode"][0]["ended"] == "stopped"
    assert figures["judged"] == 0


def test_space_stops_at_once_and_the_episode_can_still_be_judged(drive, tmp_path):
    status, _ = drive(HoldPolicy(), Keys([[(0.3, "stop")]], verdict="success"))
    assert status == 0
    (episode,) = json.loads((tmp_path / "driven/metrics.json").read_text())["per_episode"]
    assert (episode["ended"], episode["outcome"]) == ("stopped", "success")


class TakesTurns(Keys):
    """Takes over at once, gives back where the plan ends, and is content a step later."""

    def keys(self, phase, seconds):
        if phase != "running":
            return super().keys(phase, seconds)
        self.left = [*self.left, seconds]
        arrived = PointRobot.made[-1].joints.max() > 0.2999
        if len(self.left) in (2, 3):  # by the policy first
            return ["take_over"] if len(self.left) == 2 else []
        if arrived and "back" not in self.left:
            self.left.append("back")
            return ["take_over"]
        return ["success"] if self.left[-2:-1] == ["back"] else []


class Stops(Keys):
    """Presses space at the third step to the start pose, and enter when that is asked for."""

    steps = 0

    def keys(self, phase, seconds):
        if phase == "moving":
            self.steps += 1
            return ["stop"] if self.steps == 3 else []
        if phase == "waiting" and self.steps == 3:
            return ["start_or_end"]
        return super().keys(phase, seconds)


def test_space_on_the_way_to_the_start_stops_and_enter_goes_on(drive, tmp_path):
    operator = Stops([SUCCESS])
    status, robot = drive(HoldPolicy(), operator, "--start-rad-s", "0.2")
    assert status == 0
    assert operator.steps > 4
    assert robot.calls.count("hold") == 3  # where it was stopped, after the episode, at the end
    rows = rows_of(tmp_path / "driven")
    np.testing.assert_allclose(rows["action"][0], 0.0, atol=1e-2)  # the start was reached


@pytest.mark.parametrize("way", ["quit", signal.SIGINT])
def test_an_end_on_the_way_to_the_start_keeps_what_was_driven(drive, tmp_path, way):
    class Ends(Keys):
        def keys(self, phase, seconds):
            if phase == "moving" and self.number == 0:  # after the first episode
                if way == "quit":
                    return ["quit"]
                os.kill(os.getpid(), way)
            return super().keys(phase, seconds)

    pose = Towards(lambda: np.full(14, 0.3, np.float32))
    status, robot = drive(pose, Ends([SUCCESS, SUCCESS]), "--start-rad-s", "0.2")
    assert status == (0 if way == "quit" else 130)
    assert robot.calls[-2:] == ["hold", "release"]
    figures = json.loads((tmp_path / "driven/metrics.json").read_text())
    assert (figures["episodes"], figures["successes"]) == (1, 1)


def test_an_arm_outside_its_limits_is_told_and_moved_back_slowly(drive, tmp_path, capsys):
    config = tmp_path / "outside.json"
    config.write_text('{"start": 1.4}')
    status, robot = drive(HoldPolicy(), Keys([SUCCESS]), "--robot-config", str(config))
    assert status == 0
    assert "left_waist is at 1.4, its limits are -1 to 1: it is moved" in capsys.readouterr().err
    way = np.diff([np.full(14, 1.4), *robot.commands], axis=0)
    assert np.abs(way).max() <= LIMITS.velocity.max() * 0.02 + 1e-9


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"start": np.full(14, 1.2)}, "the start pose: left_waist is at 1.2, its limits are -1"),
        ({"start": np.full(14, np.nan)}, "left_waist is at nan"),
        ({"control_rate_hz": 12.5}, "control rate is 12.5 Hz"),
    ],
)
def test_a_robot_that_cannot_be_driven_as_it_says_is_refused(
    drive, monkeypatch, capsys, change, said
):
    described = replace(PointRobot().describe(), **change)
    monkeypatch.setattr(PointRobot, "describe", lambda _: described)
    status, robot = drive(HoldPolicy(), Keys([SUCCESS]))
    assert status == 1
    assert said in capsys.readouterr().err
    assert robot.commands == []


def test_without_a_plan_the_policy_goes_on(drive, tmp_path, monkeypatch, capsys):
    def helpless(_robot, _command):
        raise NoPlan("the cube is out of reach")

    monkeypatch.setattr(TableRobot, "take_over", helpless)
    keys = [(0.2, "take_over"), (0.8, "success")]
    status, _ = drive(HoldPolicy(), Keys([keys]), robot=TABLE)
    assert status == 0
    assert "t: the cube is out of reach; the policy goes on" in capsys.readouterr().err
    figures = json.loads((tmp_path / "driven/metrics.json").read_text())
    assert (figures["successes"], figures["intervention_steps"]) == (1, 0)


def test_what_was_told_last_is_held_until_the_policy_answers_again(drive, tmp_path):
    class Slow(Towards):
        def infer(self, requests):
            time.sleep(0.2)
            return super().infer(requests)

    config = tmp_path / "grips.json"  # measured joints are behind, as those of a gripper that holds
    config.write_text('{"behind": 0.05}')
    pose = Slow(lambda: np.full(14, 0.3, np.float32))
    status, _ = drive(pose, TakesTurns([[]]), "--robot-config", str(config), robot=TABLE)
    assert status == 0
    rows = rows_of(tmp_path / "driven")
    after = np.arange(len(rows["held"])) > np.flatnonzero(rows["intervention"])[-1]
    np.testing.assert_allclose(rows["action"][after & rows["held"]], 0.3, atol=2e-3)


class Changes:
    """A server whose policy is another one from a call on."""

    def __init__(self, monkeypatch, after, **change):
        self.calls, self.after = 0, after
        monkeypatch.setattr(PolicyClient, "get_info", self.wrap(PolicyClient.get_info, change))

    def wrap(self, get_info, change):
        def changed(client, **more):
            info = get_info(client, **more)
            self.calls += 1
            if self.calls > self.after:
                info = replace(info, spec=replace(info.spec, checkpoint_hash="0ther", **change))
                client._info = info
            return info

        return changed


def test_another_policy_that_does_not_fit_is_told_before_the_next_episode(
    drive, monkeypatch, tmp_path, capsys
):
    server = Changes(monkeypatch, 10**6, rate_hz=0.0)

    class Later(Keys):
        def keys(self, phase, seconds):
            if phase == "judging":
                server.after = 0
            return super().keys(phase, seconds)

    keys = [[(0.3, "start_or_end")], SUCCESS]
    status, _ = drive(HoldPolicy(), Later(keys, verdict="success"))
    assert status == 0
    assert "--policy-rate-hz HZ" in capsys.readouterr().err
    assert json.loads((tmp_path / "driven/metrics.json").read_text())["episodes"] == 1


def test_a_policy_that_is_replaced_in_an_episode_ends_it(drive, monkeypatch, tmp_path):
    infer = PolicyClient.infer

    def replaced(client, *words, **more):
        chunk = infer(client, *words, **more)
        return replace(chunk, checkpoint_hash="0ther") if more["sequence"] else chunk

    monkeypatch.setattr(PolicyClient, "infer", replaced)
    status, _ = drive(HoldPolicy(), Keys([[]], verdict="failure"))
    assert status == 0
    (episode,) = json.loads((tmp_path / "driven/metrics.json").read_text())["per_episode"]
    assert episode["ended"] == "policy_error"
    assert "answered from checkpoint '0ther'" in episode["error"]


def test_a_persons_part_is_marked_and_the_policy_goes_on_after_it(drive, tmp_path):
    pose = np.full(14, 0.25, np.float32)
    status, robot = drive(Towards(lambda: pose), TakesTurns([[]]), robot=TABLE)
    assert status == 0
    assert "set_up 0" in robot.calls
    rows = rows_of(tmp_path / "driven")
    by_person = rows["intervention"]
    assert by_person.any()
    assert not by_person[0]
    assert not by_person[-1]
    np.testing.assert_allclose(rows["action"][by_person][-1], 0.3, atol=1e-3)
    figures = json.loads((tmp_path / "driven/metrics.json").read_text())
    assert figures["intervention_steps"] == by_person.sum()
    assert figures["per_episode"][0]["outcome"] == "success"


def test_a_server_that_does_not_answer_ends_the_episode_and_not_the_session(
    drive, tmp_path, monkeypatch
):
    class Gone(HoldPolicy):
        def infer(self, requests):
            raise ServerUnavailable("away")

    monkeypatch.setattr(
        "handover_client.connection.policy_client.PolicyClient.infer",
        lambda *_, **__: Gone().infer(()),
    )
    status, _ = drive(HoldPolicy(), Keys([[], []]), "--give-up-s", "0.3")
    assert status == 0
    figures = json.loads((tmp_path / "driven/metrics.json").read_text())
    assert [each["ended"] for each in figures["per_episode"]] == ["server_lost"] * 2
    assert rows_of(tmp_path / "driven")["held"].all()


def test_a_server_that_is_late_is_not_a_lost_one(drive, tmp_path):
    class Late(HoldPolicy):
        """Answers when all 0.8 s of its chunk have passed."""

        def infer(self, requests):
            time.sleep(0.9)
            return super().infer(requests)

    give_up = ("--give-up-s", "2", "--call-timeout-s", "30")
    status, _ = drive(Late(), Keys([[(5.0, "failure")]]), *give_up)
    assert status == 0
    (episode,) = json.loads((tmp_path / "driven/metrics.json").read_text())["per_episode"]
    assert episode["ended"] == "operator"
    assert rows_of(tmp_path / "driven")["held"].all()


class Freezes(Keys):
    """The camera is frozen for a second of the episode."""

    def keys(self, phase, seconds):
        PointRobot.made[-1].frame_age_s = 2.0 if 0.3 < seconds < 1.5 else 0.0
        return super().keys(phase, seconds)


def test_time_in_which_nobody_asks_the_server_is_not_its(drive, tmp_path):
    status, _ = drive(HoldPolicy(), Freezes([[(3.0, "failure")]]), "--give-up-s", "0.7")
    assert status == 0
    (episode,) = json.loads((tmp_path / "driven/metrics.json").read_text())["per_episode"]
    assert episode["ended"] == "operator"
    assert episode["holds"]["camera top is frozen"]


@pytest.mark.parametrize("speed", [1.0, 0.5])
def test_joints_are_those_of_the_frames_time_and_the_policy_is_told_their_age(
    speed, drive, monkeypatch, tmp_path
):
    seen = []

    class Told(RealTimeController):
        def act(self, step, observe):
            def told():
                joints, _, age_s = observe()
                newest = PointRobot.made[-1].joints
                seen.append((age_s, np.abs(joints - newest).max()))
                return observe()

            return super().act(step, told)

    monkeypatch.setattr(drive_episode, "RealTimeController", Told)
    config = tmp_path / "old.json"
    config.write_text('{"frame_age_s": 0.2}')
    pose = Towards(lambda: np.full(14, 0.9, np.float32))  # the guard lets it go 2 rad/s
    flags = ("--robot-config", str(config), "--speed", str(speed), "--execute-steps", "2")
    assert drive(pose, Keys([[(1.6, "success")]]), *flags)[0] == 0
    ages_s, moved = np.array(seen).T
    assert ages_s[0] < 0.1  # there were no joints before the first
    assert (ages_s[3:] >= 0.199 * speed).all()  # in the policy's time; a busy machine adds to it
    assert moved.max() > 0.1  # while the robot goes, its joints of then are others


def test_a_frozen_camera_is_held_for(drive, tmp_path):
    config = tmp_path / "old.json"
    config.write_text('{"frame_age_s": 2.0}')
    pose = Towards(lambda: np.full(14, 0.3, np.float32))
    status, _ = drive(pose, Keys([SUCCESS]), "--robot-config", str(config))
    assert status == 0
    rows = rows_of(tmp_path / "driven")
    assert rows["held"].all()
    np.testing.assert_allclose(rows["action"], rows["action"][:1].repeat(len(rows["held"]), 0))
    holds = json.loads((tmp_path / "driven/metrics.json").read_text())["holds"]
    assert "camera top is frozen" in holds


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--robot", "arm6"], "expected one of lerobot, sim"),
        (["--robot", f"{__package__}.fakes:HalfARobot"], "has no method observe, command"),
        (["--robot", f"{__package__}.fakes:Nothing"], "cannot be imported"),
        (["--robot-config", "missing.json"], "no JSON that can be read"),
        (["--task", " "], "--task is empty"),
        (["--speed", "0"], "--speed is 0"),
        (["--operator", "auto"], "--operator auto needs --episodes"),
    ],
)
def test_what_makes_no_sense_is_one_line_before_anything_moves(drive, capsys, words, said):
    status, robot = drive(HoldPolicy(), Keys([SUCCESS]), *words)
    assert status in (1, 2)
    told = capsys.readouterr().err
    assert said in told
    assert len(told.strip().splitlines()) == 1
    assert robot is None or "connect" not in robot.calls


def test_a_robot_may_be_installed_by_its_entry_point(drive, monkeypatch):
    entry = SimpleNamespace(name="point", value="point:Robot", load=lambda: PointRobot)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    assert set(registry.robot_names()) >= {"point", "lerobot", "sim", "trossen"}
    status, robot = drive(HoldPolicy(), Keys([SUCCESS]), robot="point")
    assert status == 0
    assert robot.commands


def test_every_group_of_the_policy_is_one_of_an_alohas():
    assert set(GR1_DIMS) == {group.name for group in ALOHA_HOLD.action}
