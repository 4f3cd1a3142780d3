"""gym-aloha as a robot: it runs by itself in wall time, and is driven as any other robot."""

import json
import multiprocessing
import os
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs the extra sim")
pytest.importorskip("jinja2")

from handover_client.commands import main as cli
from handover_client.drive.robots.sim import SimRobot
from handover_client.drive.robots.sim_worker import Block
from handover_common import HandoverError, UsageError
from handover_server.policies.hold import HoldPolicy

from ...e2e.left_behind import marked, none_left
from ..serving import source_environment

pytestmark = [pytest.mark.sim, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def robot():
    robot = SimRobot(look="plain", camera_rate_hz=5, seed=3)
    robot.connect()
    yield robot
    robot.release()


def test_it_goes_on_whether_or_not_commands_come(robot):
    before = robot.observe()
    deadline_s = time.monotonic() + 60
    while robot.observe().time_s < before.time_s + 0.2:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    assert robot.observe().frames["top"].image.std() > 1


def test_a_block_has_the_time_of_its_writing_or_of_what_it_shows():
    block = Block(multiprocessing.get_context("spawn"), (2,))
    assert block.read()[1] == 0.0
    before_s = time.monotonic()
    block.write(np.array([1.0, 2.0]))
    assert before_s <= block.read()[1] <= time.monotonic()
    block.write(np.array([3.0, 4.0]), 5.0)
    values, time_s = block.read()
    assert (values.tolist(), time_s) == ([3.0, 4.0], 5.0)


def test_a_command_moves_it_and_holding_keeps_it_there(robot):
    robot.set_up(0)
    target = robot.describe().start.copy()
    target[0] += 0.3
    robot.command(target)
    deadline_s = time.monotonic() + 60
    while abs(robot.observe().joints[0] - target[0]) > 0.05:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    robot.hold()
    assert abs(robot.observe().joints[0] - target[0]) < 0.06


def test_its_expert_plans_on_from_where_it_is(robot):
    robot.set_up(1)
    command = robot.describe().start
    plan = robot.take_over(command)
    assert plan.shape[1] == 14
    np.testing.assert_allclose(plan[0], command, atol=0.05)
    assert not robot.is_done()


def test_a_robot_that_has_ended_says_so():
    robot = SimRobot(look="plain")
    robot.connect()
    robot.release()
    robot.release()
    with pytest.raises(HandoverError, match="does not answer"):
        robot.set_up(0)


def test_it_goes_down_with_a_client_that_is_killed(tmp_path):
    mark = f"SIM_ROBOT_TEST_{tmp_path.name}_{os.getpid()}"
    program = (
        "import time; from handover_client.drive.robots.sim import SimRobot\n"
        "robot = SimRobot(look='plain'); robot.connect(); print('up', flush=True); time.sleep(900)"
    )
    command = [sys.executable, "-c", program]
    environment = {**source_environment(), mark: "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as client:
        assert client.stdout.readline() == b"up\n"
        assert len(marked(mark)) >= 3  # physics, cameras
        client.kill()
    assert none_left(mark), marked(mark)


@pytest.mark.parametrize("settings", [{"look": "pretty"}, {"camera_rate_hz": 0}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(UsageError):
        SimRobot(**settings)


def test_a_session_on_it_with_the_expert_as_the_person_is_a_dataset(serve_policy, tmp_path):
    settings = tmp_path / "sim.json"
    settings.write_text('{"look": "plain", "camera_rate_hz": 5}')
    driven = tmp_path / "driven"
    words = ["--server", serve_policy(HoldPolicy()).address, "--camera", "ego_view=top"]
    words += ["--operator", "auto", "--episodes", "1", "--max-seconds", "9", "--take-over-s", "0.5"]
    words += ["--frozen-s", "5", "--stale-s", "2", "--robot-config", str(settings)]
    assert cli.run(["drive", *words, "--task", "Pick it up.", "--output", str(driven)]) == 0
    figures = json.loads((driven / "metrics.json").read_text())
    assert figures["episodes"] == figures["judged"] == 1
    assert figures["intervention_steps"] > 0
    source, output = str(driven), str(tmp_path / "groot")
    assert cli.run(["convert", "--source", source, "--output", output, "--workers", "1"]) == 0
