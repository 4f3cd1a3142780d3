"""Two WidowX AI arms: the vendor's driver against the vendor's wire, simulated on this machine.

python -m venv ARMS; ARMS/bin/pip install -e ".[trossen,dev]" trossen-arm-sim
ARMS/bin/python -m pytest tests/client/drive/test_trossen.py            (and -m slow)
"""

import json
import signal
import time

import pytest

from benchmarks.robots import two_arms
from benchmarks.robots.two_arms import CENTRE, drive, moving_policy, outside, start_episode

if two_arms.missing():
    pytest.skip(f"no {two_arms.missing()}: {two_arms.HOW_TO_INSTALL}", allow_module_level=True)

import numpy as np
import pyarrow.parquet as pq
import yaml
from handover_client.drive.robots.trossen import TrossenRobot
from handover_common import HandoverError

LONG_S = 180.0  # on a busy machine
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    two_arms.film(path)
    return str(path)


@pytest.fixture
def arms(tmp_path):
    with two_arms.two_arms(tmp_path) as arms:
        yield arms


@pytest.fixture
def config(arms, film, tmp_path):
    path = tmp_path / "arms.yaml"
    path.write_text(yaml.safe_dump(two_arms.settings([arm.address for arm in arms], film)))
    return path


@pytest.fixture
def server(tmp_path):
    (tmp_path / "mode").write_text("swing")
    with moving_policy(tmp_path / "mode", CENTRE) as (_, address):
        yield address


def rows(folder, episode=0):
    path = folder / f"data/chunk-000/episode_{episode:06d}.parquet"
    return {name: np.array(values) for name, values in pq.read_table(path).to_pydict().items()}


def drive_for(terminal, seconds, after=0):
    """Drive an episode for so long, once the policy drives; returns the screen's place."""
    after = start_episode(terminal, LONG_S, after)
    after = terminal.wait_for("policy drives", LONG_S, after)
    time.sleep(seconds)
    terminal.press("s")
    return terminal.wait_for("success,", LONG_S, after)


def test_the_arms_swing_and_are_told_nothing_outside_their_limits(arms, config, server, tmp_path):
    driven = tmp_path / "driven"
    with drive(server, config, driven) as terminal:
        place = drive_for(terminal, 10)
        terminal.wait_for(two_arms.READY, LONG_S, place)
        terminal.press("q")
        assert terminal.wait(LONG_S) == 0, terminal.screen
    ledgers = [arm.end() for arm in arms]
    assert outside(ledgers) == 0
    for ledger in ledgers:
        assert ledger["commands"] > 500
        assert ledger["high"][0] - ledger["low"][0] > 0.1  # rad: it swung
        assert ledger["high"][6] <= two_arms.OPEN_M
        # it was left where it was, held: within a centimetre and a degree
        np.testing.assert_allclose(ledger["measured"], ledger["last"], atol=0.02)
    recorded = rows(driven)
    assert recorded["success"].all()
    # rad and shares of the travel at the arms are those of the dataset
    assert recorded["action"][:, 0].max() <= ledgers[0]["high"][0] + 1e-3
    assert recorded["action"][:, 6].max() * two_arms.OPEN_M <= ledgers[0]["high"][6] + 1e-3
    figures = json.loads((driven / "metrics.json").read_text())
    assert figures["settings"]["robot_settings"]["left"]["address"] == arms[0].address


def test_the_order_of_joints_is_the_settings(arms, film):
    order = [f"joint_{place}" for place in (5, 4, 3, 2, 1, 0)]
    settings = two_arms.settings([arm.address for arm in arms], film, joint_order=order)
    wide = {"low_rad": [-1.5, -1.5, -1.5, 0, 0, -1.5], "high_rad": [1.5] * 6}
    settings["limits"] |= wide
    for side in ("left", "right"):
        settings[side] = {**settings[side], "start_rad": [0.0] * 6}
    robot = TrossenRobot(**settings)
    robot.connect()
    target = robot.observe().joints
    target[0] = 0.2  # of the left arm, the driver's joint_5
    for _ in range(100):
        robot.command(target)
        time.sleep(0.02)
    assert abs(robot.observe().joints[0] - 0.2) < 0.02
    robot.release()
    left, right = (arm.end() for arm in arms)
    assert abs(left["measured"][5] - 0.2) < 0.02
    assert abs(left["measured"][0]) < 0.02
    assert abs(right["measured"][5]) < 0.02


def test_limits_that_the_arms_controller_does_not_have_are_refused(arms, film):
    settings = two_arms.settings([arm.address for arm in arms], film)
    settings["limits"] = {**settings["limits"], "high_rad": [1.5, 2.5, 3.0, 1.5, 1.5, 2.0]}
    robot = TrossenRobot(**settings)
    with pytest.raises(HandoverError, match=r"limits of joint_2 .* are wider than its controller"):
        robot.connect()


def test_an_arm_that_is_not_there_is_named(film):
    settings = two_arms.settings(["127.3.2.1", "127.3.2.2"], film, connect_timeout_s=1.0)
    with pytest.raises(HandoverError, match=r"left arm \(127\.3\.2\.1\) does not answer"):
        TrossenRobot(**settings).connect()


def test_a_camera_of_another_size_is_refused_before_an_arm_is_asked(film):
    settings = two_arms.settings(["127.3.2.1", "127.3.2.2"], film)
    settings["cameras"] = {"cam_high": film}  # 480x640 where nothing is said
    with pytest.raises(HandoverError, match="its pictures are 120x160, the settings say 480x640"):
        TrossenRobot(**settings).connect()


def test_an_arm_that_is_lost_ends_the_session_and_the_other_holds(arms, config, server, tmp_path):
    with drive(server, config, tmp_path / "driven") as terminal:
        start_episode(terminal, LONG_S)
        terminal.wait_for("policy drives", LONG_S)
        arms[1].process.kill()
        assert terminal.wait(LONG_S) == 1
        assert f"the right arm ({arms[1].address})" in terminal.screen
        assert "Traceback" not in terminal.screen
    left = arms[0].end()
    assert outside([left]) == 0
    np.testing.assert_allclose(left["measured"], left["last"], atol=0.02)


def test_a_killed_client_leaves_the_arms_where_they_were_told_to_be(arms, config, server, tmp_path):
    with drive(server, config, tmp_path / "driven") as terminal:
        place = drive_for(terminal, 1)
        start_episode(terminal, LONG_S, place)
        terminal.wait_for("policy drives", LONG_S, place)
        terminal.process.send_signal(signal.SIGKILL)
        terminal.wait(LONG_S)
    time.sleep(1.0)
    before = [arm.ledger() for arm in arms]
    time.sleep(1.0)
    for arm, earlier in zip(arms, before, strict=True):
        ledger = arm.end()
        assert ledger["commands"] == earlier["commands"]  # nobody tells them anything
        np.testing.assert_allclose(ledger["measured"], earlier["measured"], atol=0.01)
    # the episode before is kept, and the same command would go on with the next one
    (kept,) = tmp_path.glob(".driven*/episodes/*/episode.json")
    assert json.loads(kept.read_text())["outcome"] == "success"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_minutes(arms, config, server, tmp_path):
    driven = tmp_path / "driven"
    with drive(server, config, driven, "--max-seconds", "150", "--episodes", "4") as terminal:
        place = 0
        for number in range(4):
            place = start_episode(terminal, LONG_S, place)
            place = terminal.wait_for("s success, f failure", 150 + LONG_S, place)
            terminal.press("s")
            place = terminal.wait_for(f"episode {number}: success", LONG_S, place)
        assert terminal.wait(LONG_S) == 0, terminal.screen
    ledgers = [arm.end() for arm in arms]
    assert outside(ledgers) == 0
    figures = json.loads((driven / "metrics.json").read_text())
    assert figures["seconds"] >= 600
    assert [each["ended"] for each in figures["per_episode"]] == ["max_seconds"] * 4
    assert sum(map(len, two_arms.late_ms(driven))) >= 600 * 50
