"""From the simulator to the simulator: record, convert, a checkpoint, replay and rollout."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("mujoco", reason="needs the extra 'sim'")

from .conftest import wait_for_address

pytestmark = [pytest.mark.sim, pytest.mark.timeout(900)]
SIM_HANDOVER = Path(sys.executable).with_name("handover")


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr


@contextmanager
def served(server_bin: Path, log: Path, *flags: str | Path) -> Iterator[str]:
    with log.open("w") as output:
        command = [server_bin / "handover", "serve", "--port", "0", *flags]
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield wait_for_address(server, log)
    finally:
        server.kill()
        server.wait(timeout=60)


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("chain") / "recording"
    flags = ("--task", "transfer_cube", "--episodes", "1", "--seed", "7", "--render", "fast")
    run(SIM_HANDOVER, "record", *flags, "--output", folder)
    return folder


@pytest.fixture(scope="module")
def groot(server_bin, recording) -> Path:
    folder = recording.with_name("groot")
    run(server_bin / "handover", "convert", "--source", recording, "--output", folder)
    return folder


def rollout(address: str, output: Path, *flags: str | Path) -> dict:
    command = [SIM_HANDOVER, "rollout", "--server", address, "--output", output]
    run(*command, "--episodes", "1", "--videos", "none", *flags)
    return json.loads((output / "metrics.json").read_text())


def replay(address: str, dataset: Path, output: Path) -> dict:
    command = [SIM_HANDOVER, "replay", "--server", address, "--dataset-path", dataset]
    run(*command, "--steps", "32", "--output", output)
    return json.loads((output / "metrics.json").read_text())


def test_a_recorded_episode_played_back_at_20_hz_succeeds_again(
    server_bin, recording, groot, tmp_path
):
    flags = ("--policy", "replay", "--dataset-path", groot)
    with served(server_bin, tmp_path / "log", *flags) as address:
        open_loop = replay(address, groot, tmp_path / "replay")
        closed_loop = rollout(address, tmp_path / "rollout", "--seeds-from", recording)
    assert open_loop["joints_14"]["mse"] == 0.0
    assert closed_loop["success_rate"] == 1.0
    assert closed_loop["settings"]["seeds"] == {"0": 7}


def test_a_checkpoint_of_the_recording_is_replayed_and_rolled_out(server_bin, groot, tmp_path):
    checkpoint = tmp_path / "tiny"
    make = (server_bin / "python", "-m", "handover_training.aloha_mini", "random")
    run(*make, "--dataset-path", groot, "--output", checkpoint)
    with served(server_bin, tmp_path / "log", "--checkpoint", checkpoint) as address:
        open_loop = replay(address, groot, tmp_path / "replay")
        closed_loop = rollout(address, tmp_path / "rollout", "--max-steps", "30")
    assert open_loop["joints_14"]["mse"] > 0
    assert closed_loop["episodes"] == 1
    assert closed_loop["per_episode"][0]["steps"] == 30
    assert closed_loop["latency_ms"]["server_action_head"]["p50"] > 0
    served_hash = closed_loop["provenance"]["server"]["checkpoint_hash"]
    assert served_hash == open_loop["provenance"]["server"]["checkpoint_hash"]
    assert served_hash
