"""Ctrl-C in the middle of a command: 130, one line, no process, no half-written file in its place.

What a command keeps on purpose (a hidden folder beside the output, from which the same command goes
on) is allowed; the output itself must not be there. `handover serve` is tested in tests/server, the
demo in test_demo.py.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("mujoco", reason="needs the extra 'sim'")

from .left_behind import marked, none_left

ROOT = Path(__file__).resolve().parents[2]
SIM = Path(sys.executable).with_name("handover")
RECORDINGS = ROOT / "tests/data/aloha_sim_transfer_cube"
pytestmark = [pytest.mark.sim, pytest.mark.slow, pytest.mark.timeout(900)]


def interrupted(command, tmp_path, at_work):
    """Start a command as a terminal does, and interrupt its group once it is at work."""
    mark = f"CTRL_C_TEST_{tmp_path.name}_{os.getpid()}"
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [str(word) for word in command],
            env={**os.environ, mark: "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 200
        while not at_work():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=180) == 130, log.read_text()
        assert none_left(mark), marked(mark)
    finally:
        process.kill()
        process.wait(timeout=60)
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)
    assert "Traceback" not in log.read_text()
    assert log.read_text().rstrip().endswith("handover: interrupted")


def there(folder, pattern):
    return lambda: any(folder.glob(pattern))


def left_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "log")


def test_recording(tmp_path):
    flags = ("--task", "transfer_cube", "--episodes", 40, "--output", tmp_path / "out")
    interrupted([SIM, "record", *flags], tmp_path, there(tmp_path, ".out.partial/*"))
    assert left_in(tmp_path) in ([], [".out.partial"])  # with an episode that was finished


def test_converting(server_bin, tmp_path):
    flags = ("--source", RECORDINGS, "--output", tmp_path / "out")
    long = ("--fps", 2000, "--image-size", 512)  # else it may have ended when Ctrl-C comes
    convert = [server_bin / "handover", "convert", *flags, *long]
    interrupted(convert, tmp_path, there(tmp_path, ".out.partial/*"))
    assert left_in(tmp_path) in ([], [".out.partial"])  # with an episode that was finished


def test_a_rollout(server_address, tmp_path):
    flags = ("--server", server_address, "--episodes", 40, "--output", tmp_path / "out")
    interrupted([SIM, "rollout", *flags], tmp_path, there(tmp_path, ".out.partial/plan.json"))
    assert left_in(tmp_path) in ([], [".out.partial"])  # with an episode that was finished


def test_a_replay(server_address, dataset, tmp_path):
    flags = ("--server", server_address, "--dataset-path", dataset, "--action-horizon", 1)
    flags += ("--output", tmp_path / "out")
    interrupted([SIM, "replay", *flags], tmp_path, there(tmp_path, ".out.partial/plan.json"))
    assert left_in(tmp_path) in ([], [".out.partial"])  # with a trajectory that was finished


def test_waiting_for_a_server_that_never_comes(dataset, tmp_path):
    with socket.socket() as listener:  # takes the connection, and never says anything
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(200)
        server = f"127.0.0.1:{listener.getsockname()[1]}"
        flags = ("--server", server, "--dataset-path", dataset, "--output", tmp_path / "out")
        interrupted([SIM, "replay", *flags], tmp_path, listener.accept)
    assert left_in(tmp_path) == []


def test_finetuning(server_bin, dataset, tmp_path):
    base, out = tmp_path / "base", tmp_path / "out"
    recipe = (server_bin / "python", "-m", "handover_training.aloha_mini")
    mini = [*recipe, "random", "--output", base]
    subprocess.run([*mini, "--dataset-path", dataset], check=True, timeout=200, capture_output=True)
    flags = ("--dataset-path", dataset, "--base-model-path", base, "--output-dir", out)
    flags += ("--cache-dir", tmp_path / "cache", "--max-steps", 500, "--global-batch-size", 4)
    flags += ("--report-to", "none", "--device", "cpu", "--save-steps", 2)
    finetune = [server_bin / "handover", "finetune", *flags]
    interrupted(finetune, tmp_path, there(out, "checkpoint-*/model.safetensors"))
    for checkpoint in out.glob("checkpoint-*"):  # a whole one, or none
        assert (checkpoint / "training_record.json").exists()
