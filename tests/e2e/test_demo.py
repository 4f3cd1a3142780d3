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
pytestmark = pytest.mark.timeout(900)
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


@pytest.fixture
def stand_in(tmp_path):
    """Give what starts docs/demo.sh with a program in place of `handover` that only waits."""
    program = tmp_path / "bin/handover"
    program.parent.mkdir()
    mark = f"DEMO_TEST_{tmp_path.name}_{os.getpid()}"
    places = {"SERVER": str(tmp_path), "SIM": str(tmp_path), "RUNS": str(tmp_path / "runs")}
    started = []

    def start(prefix, waits, asleep, **streams):
        """Start it, and return when so many programs are asleep."""
        program.write_text(f"#!/bin/sh\ncase $1 in {waits} exec sleep 600 ;; esac\n")
        program.chmod(0o755)
        process = subprocess.Popen(
            [*prefix, ROOT / "docs/demo.sh"],
            env={**os.environ, **places, mark: "1"},
            start_new_session=True,
            **streams,
        )
        process.mark, process.log = mark, tmp_path / "log"
        process.log.touch()
        started.append(process)
        wait_until(lambda: list(marked(mark).values()).count("sleep 600 ") == asleep, process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(timeout=60)
    for pid in marked(mark):
        os.kill(pid, signal.SIGKILL)


def test_a_terminal_that_closes_leaves_no_process_and_no_file(stand_in, tmp_path):
    terminal, writing = os.pipe()
    waits = "serve) echo serving a policy on nowhere:1; exec sleep 600 ;; replay)"
    demo = stand_in([], waits, 2, stdout=writing, stderr=writing)
    os.close(writing)
    os.close(terminal)
    os.killpg(demo.pid, signal.SIGHUP)
    assert demo.wait(timeout=180) == 130
    assert none_left(demo.mark), marked(demo.mark)
    assert not list((tmp_path / "runs").iterdir())


def test_ctrl_c_at_a_terminal_while_the_server_starts_leaves_no_process_and_no_file(
    stand_in, tmp_path
):
    in_a_terminal = "import os, pty, sys; sys.exit(os.WEXITSTATUS(pty.spawn(sys.argv[1:])))"
    with (tmp_path / "log").open("wb") as log:
        demo = stand_in(
            [sys.executable, "-c", in_a_terminal],
            "serve)",
            1,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    demo.stdin.write(b"\x03")
    demo.stdin.flush()
    assert demo.wait(timeout=180) == 130
    assert none_left(demo.mark), marked(demo.mark)
    assert not list((tmp_path / "runs").iterdir())
    assert "interrupted: stopping" in demo.log.read_text()
    demo.stdin.close()


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
    assert demo.wait(timeout=800) == 0, demo.log.read_text()
    assert none_left(demo.mark), marked(demo.mark)
    for run in RUNS:
        assert json.loads((tmp_path / "demo" / run / "metrics.json").read_text())["kind"]
        assert (tmp_path / "demo" / run / "report.html").stat().st_size > 10_000
    assert (tmp_path / "demo/report.html").stat().st_size > 50_000
    said = demo.log.read_text()
    assert "open loop, 2 episode(s): MSE" in said
    assert "closed loop, transfer_cube: " in said
    assert "closed loop, insertion: " in said
