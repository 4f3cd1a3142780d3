"""Closed loop over any protocol: three addresses of one checkpoint, and other projects' servers."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs the extra 'sim'")

from .conftest import ROOT, wait_for_line
from .test_closed_loop_chain import SIM_HANDOVER, rollout, run

pytestmark = [pytest.mark.sim, pytest.mark.timeout(900)]
CHECKPOINT = ROOT / "checkpoints/aloha-mini"
TIMES = ("latency_ms", "stage_ms", "wall_s", "cpu_s", "outages")
SHORT = ("--max-steps", "100", "--seed", "1000")
GR1 = {"left_arm": 7, "left_hand": 6, "right_arm": 7, "right_hand": 6, "waist": 3}


@pytest.fixture(scope="module")
def addresses(server_bin: Path, tmp_path_factory) -> Iterator[dict[str, str]]:
    """One server of the shipped checkpoint: {protocol: address}."""
    if subprocess.run([server_bin / "python", "-c", "import websockets"]).returncode:
        pytest.skip("the server's environment has no extra 'gateways'")
    log = tmp_path_factory.mktemp("three") / "log"
    flags = ("--port", "0", "--openpi-port", "0", "--openpi-rate-hz", "20")
    command = [server_bin / "handover", "serve", "--checkpoint", CHECKPOINT, *flags]
    with log.open("w") as output:
        server = subprocess.Popen(
            [*command, "--groot-zmq-port", "0"], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield {
            "": wait_for_line(server, log, r"^serving .* on (\S+)$", timeout_s=600),
            "openpi": "openpi://" + wait_for_line(server, log, r"openpi clients on (\S+)"),
            "groot": "groot://" + wait_for_line(server, log, r"Isaac-GR00T clients on (\S+)"),
        }
    finally:
        server.kill()
        server.wait(timeout=60)


def played(folder: Path) -> list[dict]:
    """What decides an episode: all of its line but the times, and waits of a busy machine."""
    lines = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def test_three_addresses_of_a_checkpoint_give_the_same_episodes_bit_for_bit(addresses, tmp_path):
    runs = {}
    for name, address in addresses.items():
        runs[name] = rollout(address, tmp_path / f"run{name}", *SHORT)
    ours = runs[""]
    for name in ("openpi", "groot"):
        folder = tmp_path / f"run{name}"
        assert played(folder) == played(tmp_path / "run")
        assert runs[name]["settings"] == ours["settings"]
        assert runs[name]["per_episode"][0]["steps"] == 100
        for trace in sorted((tmp_path / "run/traces").iterdir()):
            mine, theirs = np.load(trace), np.load(folder / "traces" / trace.name)
            assert set(mine) == set(theirs)
            for key in mine:
                assert mine[key].tobytes() == theirs[key].tobytes(), (name, trace.name, key)


def test_three_addresses_of_a_checkpoint_replay_alike(addresses, dataset, tmp_path):
    figures = {}
    for name, address in addresses.items():
        output = tmp_path / f"replay{name}"
        command = [SIM_HANDOVER, "replay", "--server", address, "--dataset-path", dataset]
        run(*command, "--traj-ids", "0", "--steps", "32", "--output", output)
        figures[name] = json.loads((output / "metrics.json").read_text())
    for name in ("openpi", "groot"):
        assert figures[name]["joints_14"] == figures[""]["joints_14"]
        for mine, theirs in zip(
            *(figures[one]["per_trajectory"] for one in ("", name)), strict=True
        ):
            assert mine["seeds"] == theirs["seeds"]
            assert mine["joints_14"] == theirs["joints_14"]


@pytest.mark.parametrize("scheme", ["openpi", "groot"])
def test_info_and_bench_speak_the_protocol(addresses, scheme, tmp_path):
    done = subprocess.run(
        [SIM_HANDOVER, "info", "--server", addresses[scheme]], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "protocol" in done.stdout
    assert "checkpoint  aloha-mini" in done.stdout
    output = tmp_path / "bench.json"
    flags = ("--clients", "2", "--seconds", "1", "--warm-up", "0", "--output", output)
    run(SIM_HANDOVER, "bench", "--server", addresses[scheme], *flags)
    figures = json.loads(output.read_text())
    assert figures["refused"] == {}
    assert figures["requests"] > 0


@contextmanager
def documented(server_bin: Path, kind: str, log: Path) -> Iterator[str]:
    """A server written from another project's documentation, with the shipped checkpoint."""
    command = [server_bin / "python", ROOT / "tests/other_servers.py", kind, CHECKPOINT]
    with log.open("w") as output:
        server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield wait_for_line(server, log, rf"^{kind} on (\S+)$", timeout_s=600)
    finally:
        server.kill()
        server.wait(timeout=60)


def told(kind: str) -> dict:
    if kind == "openpi":
        group = [14, "rad, 0 closed to 1 open"]
        return {
            "rate_hz": 20,
            "horizon": 16,
            "cameras": {"cam_high": [256, 256]},
            "state": {"state": group},
            "action": {"actions": group},
        }
    groups = {name: [dim, "rad"] for name, dim in GR1.items()}
    return {"rate_hz": 20, "state": groups, "action": groups, "cameras": {"ego_view": [256, 256]}}


@pytest.mark.parametrize("kind", ["openpi", "groot1.6", "groot1.7"])
def test_a_rollout_against_a_server_of_another_project(server_bin, tmp_path, kind):
    if subprocess.run([server_bin / "python", "-c", "import websockets, zmq"]).returncode:
        pytest.skip("the server's environment has no extra 'bench'")
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(told(kind)))
    with documented(server_bin, kind, tmp_path / "log") as place:
        address = f"{kind.rstrip('.0123456789')}://{place}"
        figures = rollout(address, tmp_path / "run", "--spec", spec, "--seed", "1000")
        bare = subprocess.run(
            [SIM_HANDOVER, "info", "--server", address], capture_output=True, text=True
        )
    assert bare.returncode == 1
    assert "--spec FILE" in bare.stderr
    (episode,) = figures["per_episode"]
    assert episode["success"], "the shipped checkpoint hands the cube over from this seed"
    assert figures["provenance"]["server"]["checkpoint_hash"] == ""
    assert set(figures["latency_ms"]) == {"client"}  # the protocols tell no stages
