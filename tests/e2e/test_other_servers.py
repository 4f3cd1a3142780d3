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
EARLY = 6  # a seed whose takeover comes in the first half second
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


@pytest.mark.parametrize("scheme", ["openpi", "groot"])
def test_a_robot_is_driven_over_the_protocol(addresses, scheme, tmp_path):
    """gym-aloha in wall time; the bounds are none that a busy machine reaches."""
    flags = ("--camera", "ego_view=top", "--operator", "auto", "--episodes", "1")
    patient = ("--max-seconds", "3", "--frozen-s", "60", "--stale-s", "60", "--give-up-s", "60")
    driven = tmp_path / "driven"
    words = ("--task", "Pick up the cube.", "--output", driven)
    run(SIM_HANDOVER, "drive", "--server", addresses[scheme], *flags, *patient, *words)
    figures = json.loads((driven / "metrics.json").read_text())
    assert figures["per_episode"][0]["ended"] == "operator", "who judges at the end"
    assert figures["latency_ms"], "chunks came"
    assert figures["provenance"]["server"]["checkpoint_hash"]


def test_a_takeover_is_recorded_alike_over_any_protocol(addresses, tmp_path):
    flags = ("--task", "transfer_cube", "--episodes", "1", "--seed", str(EARLY))
    small = ("--fps", "20", "--image-size", "64", "--render", "plain", "--workers", "1")
    taken = ("--takeover", "--takeover-when", "moment")
    found = {}
    for name, address in addresses.items():
        output = tmp_path / f"recorded{name}"
        run(SIM_HANDOVER, "record", *flags, *small, *taken, "--server", address, "--output", output)
        found[name] = {
            file.relative_to(output): file.read_bytes()
            for file in output.rglob("*")
            if file.is_file()
        }
    assert found["openpi"] == found["groot"] == found[""]
    record = json.loads((tmp_path / "recorded/meta/recording.json").read_text())
    assert record["episodes"][0]["intervention"]["reason"] == "moment"


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


def test_two_servers_of_other_projects_are_compared_until_decided(server_bin, tmp_path):
    if subprocess.run([server_bin / "python", "-c", "import websockets, zmq"]).returncode:
        pytest.skip("the server's environment has no extra 'bench'")
    specs = {kind: tmp_path / f"{kind}.json" for kind in ("groot1.7", "openpi")}
    for kind, spec in specs.items():
        spec.write_text(json.dumps(told(kind)))
    runs = tmp_path / "runs"
    with (
        documented(server_bin, "groot1.7", tmp_path / "a.log") as first,
        documented(server_bin, "openpi", tmp_path / "b.log") as second,
    ):
        sides = (f"groot://{first}", f"openpi://{second}")
        told_of = ("--spec", specs["groot1.7"], "--spec-b", specs["openpi"])
        until = ("--until-decided", "--episodes", "2", "--seed", "1000", "--runs", runs)
        command = [SIM_HANDOVER, "compare", *sides, *told_of, *until]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "before  Isaac-GR00T" in done.stdout
    assert "after   openpi" in done.stdout
    assert "not decided" in done.stdout, "the same checkpoint, twice, is not better than itself"
    for side in "ab":
        figures = json.loads((runs / side / "metrics.json").read_text())
        assert [each["success"] for each in figures["per_episode"]] == [True, True]
