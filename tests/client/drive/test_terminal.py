"""`handover drive` as a process at a terminal: its keys, Ctrl-C, a closed terminal, kill -9."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="recording needs the extra sim or replay")
pytest.importorskip("av")
pytest.importorskip("jinja2")

import numpy as np
import pyarrow.parquet as pq

from benchmarks.harness.pseudo_terminal import PseudoTerminal

from ..serving import ROOT, source_environment

HERE = Path(__file__).parent
LONG_S = 120.0  # on a busy machine
READY = "enter starts an episode"
LIMITS_RAD, LIMITS_RAD_S = 1.0, 2.0  # of fakes.py
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def session(tmp_path):
    """Start sessions of a robot that logs what it is told, beside a policy that swings."""
    mode = tmp_path / "mode"
    mode.write_text("swing")
    environment = source_environment()
    environment["PYTHONPATH"] += os.pathsep + str(HERE)
    policy = [sys.executable, ROOT / "benchmarks/robots/moving_policy.py", "--mode", mode]
    with subprocess.Popen(policy, stdout=subprocess.PIPE, text=True, env=environment) as server:
        address = server.stdout.readline().split()[-1]
        (tmp_path / "robot.json").write_text(json.dumps({"log": str(tmp_path / "log")}))

        def start(*more):
            words = ["drive", "--robot", "fakes:LoggedRobot", "--server", address]
            words += ["--robot-config", tmp_path / "robot.json", "--camera", "ego_view=top"]
            words += ["--task", "Swing.", "--output", tmp_path / "driven", *more]
            return PseudoTerminal(
                [sys.executable, "-m", "handover_client.cli", *words], environment
            )

        yield start
        server.kill()


def told(tmp_path, *names):
    """The calls that the robot logged: what, when, and where its first joint was then."""
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    return [line for line in lines if line[0] in (names or ["command"])]


def rests_within_the_limits(tmp_path):
    """Whether the robot was braked: no command leaves the limits, and the last two are near."""
    values, steps = [], []
    for name, _, value in told(tmp_path, "set_up", "command"):
        if values and name == "command":  # set_up moves the robot by itself
            steps.append(abs(value - values[-1]))
        values.append(value)
    assert max(np.abs(values)) <= LIMITS_RAD
    assert max(steps) <= LIMITS_RAD_S / 50 + 1e-9
    return steps[-1] < 0.02 * max(steps) + 1e-6 or steps[-1] <= 40 / 50**2


def rows(folder, episode):
    path = folder / f"data/chunk-000/episode_{episode:06d}.parquet"
    return {name: np.array(values) for name, values in pq.read_table(path).to_pydict().items()}


def start_driving(terminal, after=0):
    after = terminal.wait_for(READY, LONG_S, after)
    terminal.press("\n")
    return terminal.wait_for("policy drives", LONG_S, after)


def test_every_key_does_what_the_page_says(session, tmp_path):
    with session() as terminal:
        place = start_driving(terminal)
        terminal.press("t")
        place = terminal.wait_for("person drives", LONG_S, place)
        terminal.press("t")
        place = terminal.wait_for("policy drives", LONG_S, place)
        terminal.press("s")
        place = terminal.wait_for("episode 0: success", LONG_S, place)

        place = start_driving(terminal, place)
        terminal.press("f")
        place = terminal.wait_for("episode 1: failure", LONG_S, place)

        place = start_driving(terminal, place)
        terminal.press(" ")
        place = terminal.wait_for("s success, f failure", LONG_S, place)
        terminal.press("\n")
        place = terminal.wait_for("episode 2: not judged", LONG_S, place)

        place = start_driving(terminal, place)
        terminal.press("\n")
        terminal.wait_for("s success, f failure", LONG_S, place)
        terminal.press("xS")  # two at once, of which one means something; capitals do
        place = terminal.wait_for("episode 3: success", LONG_S, place)

        place = start_driving(terminal, place)
        terminal.press("\x1a")  # Ctrl-Z
        place = terminal.wait_for("s success, f failure", LONG_S, place)
        terminal.press("f")
        place = terminal.wait_for("episode 4: failure", LONG_S, place)

        terminal.wait_for(READY, LONG_S, place)
        terminal.press("q")
        assert terminal.wait(LONG_S) == 0, terminal.screen
    figures = json.loads((tmp_path / "driven/metrics.json").read_text())
    found = [(each["outcome"], each["ended"]) for each in figures["per_episode"]]
    assert found == [
        ("success", "operator"),
        ("failure", "operator"),
        ("", "stopped"),
        ("success", "operator"),
        ("failure", "stopped"),
    ]
    assert rows(tmp_path / "driven", 0)["intervention"].any()
    assert rests_within_the_limits(tmp_path)


def test_ctrl_c_brakes_keeps_the_episode_and_ends_with_130(session, tmp_path):
    with session() as terminal:
        start_driving(terminal)
        terminal.press("\x03")  # cbreak leaves the terminal's own Ctrl-C
        assert terminal.wait(LONG_S) == 130, terminal.screen
        assert "Traceback" not in terminal.screen
        assert terminal.screen.rstrip().endswith("handover: interrupted")
    figures = json.loads((tmp_path / "driven/metrics.json").read_text())
    assert [each["ended"] for each in figures["per_episode"]] == ["stopped"]
    assert len(told(tmp_path, "hold"))
    assert len(told(tmp_path, "release"))
    assert rests_within_the_limits(tmp_path)


def test_a_closed_terminal_brakes_and_keeps_the_episode(session, tmp_path):
    with session() as terminal:
        start_driving(terminal)
        terminal.hang_up()
        assert terminal.wait(LONG_S) == 130
    figures = json.loads((tmp_path / "driven/metrics.json").read_text())
    assert [each["ended"] for each in figures["per_episode"]] == ["stopped"]
    assert len(rows(tmp_path / "driven", 0)["action"])
    assert rests_within_the_limits(tmp_path)


def test_a_killed_client_loses_the_running_episode_alone(session, tmp_path):
    with session() as terminal:
        place = start_driving(terminal)
        terminal.press("s")
        place = terminal.wait_for("episode 0: success", LONG_S, place)
        start_driving(terminal, place)
        terminal.process.send_signal(signal.SIGKILL)
        assert terminal.wait(LONG_S) == -signal.SIGKILL
    count = len(told(tmp_path))
    time.sleep(0.2)
    assert len(told(tmp_path)) == count  # nothing of it goes on
    assert not (tmp_path / "driven").exists()
    with session() as terminal:  # the same command goes on
        place = start_driving(terminal)
        terminal.press("f")
        place = terminal.wait_for("episode 1: failure", LONG_S, place)
        terminal.wait_for(READY, LONG_S, place)
        terminal.press("q")
        assert terminal.wait(LONG_S) == 0, terminal.screen
    figures = json.loads((tmp_path / "driven/metrics.json").read_text())
    assert [each["outcome"] for each in figures["per_episode"]] == ["success", "failure"]
    for episode in (0, 1):
        assert len(rows(tmp_path / "driven", episode)["action"])


def test_a_dry_run_tells_the_robot_nothing(session, tmp_path):
    with session("--dry-run") as terminal:
        place = start_driving(terminal)
        terminal.wait_for("DRY RUN", LONG_S, place)
        terminal.press("s")
        terminal.wait_for("episode 0: success", LONG_S, place)
        terminal.press("q")
        assert terminal.wait(LONG_S) == 0, terminal.screen
    assert not len(told(tmp_path))
    assert not (tmp_path / "driven").exists()
