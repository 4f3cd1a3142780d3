"""`make demo` from the environments that are there: what it leaves, and what Ctrl-C leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("mujoco", reason="needs the extra 'sim'")

from .left_behind import marked, none_left

ROOT = Path(__file__).resolve().parents[2]
RUNS = ("open_loop", "transfer_cube", "insertion")


@pytest.fixture
def demo(server_bin, tmp_path):
    """Start docs/demo.sh as `make demo` does, with one episode a task, in a group of its own."""
    mark = f"DEMO_TEST_{tmp_path.name}_{os.getpid()}"
    environment = {
        **os.environ,
        mark: "1",
        "SERVER": str(server_bin.parent),
        "SIM": str(Path(sys.executable).parents[1]),
        "RUNS": str(tmp_path),
        "DEMO_EPISODES": "1",
    }
    log = (tmp_path / "demo.log").open("w+")
    process = subprocess.Popen(
        [ROOT / "docs/demo.sh"],
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    process.mark, process.log = mark, Path(log.name)
    yield process
    process.kill()
    process.wait(timeout=60)
    for pid in marked(mark):
        os.kill(pid, signal.SIGKILL)
    log.close()


def wait_until(there, process, timeout_s=200):
    deadline = time.monotonic() + timeout_s
    while not there():
        assert process.poll() is None, process.log.read_text()
        assert time.monotonic() < deadline, process.log.read_text()
        time.sleep(0.05)


@pytest.mark.sim
def test_ctrl_c_leaves_no_process_and_no_file(demo, tmp_path):
    # the server is at work then, and a client with it
    wait_until(lambda: "3/5" in demo.log.read_text(), demo)
    assert any(" serve " in command for command in marked(demo.mark).values())
    os.killpg(demo.pid, signal.SIGINT)
    assert demo.wait(timeout=180) == 130, demo.log.read_text()
    assert none_left(demo.mark), marked(demo.mark)
    assert [path.name for path in tmp_path.iterdir()] == ["demo.log"]
    assert "Traceback" not in demo.log.read_text()


@pytest.mark.slow
@pytest.mark.sim
def test_a_termination_in_the_simulation_leaves_no_process_and_no_file(demo, tmp_path):
    wait_until(lambda: (tmp_path / "demo/.transfer_cube.partial/plan.json").exists(), demo)
    demo.send_signal(signal.SIGTERM)
    assert demo.wait(timeout=180) == 130, demo.log.read_text()
    assert none_left(demo.mark), marked(demo.mark)
    assert [path.name for path in tmp_path.iterdir()] == ["demo.log"]


@pytest.mark.slow
@pytest.mark.sim
def test_the_demo_writes_three_runs_and_their_report_and_stops_its_server(demo, tmp_path):
    assert demo.wait(timeout=280) == 0, demo.log.read_text()
    assert none_left(demo.mark), marked(demo.mark)
    for run in RUNS:
        assert json.loads((tmp_path / "demo" / run / "metrics.json").read_text())["kind"]
        assert (tmp_path / "demo" / run / "report.html").stat().st_size > 10_000
    assert (tmp_path / "demo/report.html").stat().st_size > 50_000
    said = demo.log.read_text()
    assert "open loop, 2 episode(s): MSE" in said
    assert "closed loop, transfer_cube: " in said
    assert "closed loop, insertion: " in said
