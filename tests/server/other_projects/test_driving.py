"""`handover drive` over openpi's and Isaac-GR00T's protocols: our gateways, and their servers."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="recording needs the extra convert")
pytest.importorskip("av")
pytest.importorskip("jinja2")
pytest.importorskip("websockets")
pytest.importorskip("zmq")

import pyarrow.parquet as pq
from handover_client.commands import main as cli
from handover_client.drive import run as drive_run
from handover_proto import GR1_DIMS, PolicyOutput
from handover_proto.embodiment import split_groups, widen
from handover_server.gateways.listeners import GatewaySettings
from handover_server.gateways.openpi_messages import Adaptation
from handover_server.policies.hold import HoldPolicy

from ...client.drive.fakes import Keys, PointRobot
from ...other_servers import groot_server, modality, openpi_server

ROBOT = f"{Keys.__module__}:PointRobot"
PAGE = Path(__file__).resolve().parents[3] / "docs/gateways.md"
HORIZON = 16
CHUNK = np.full((HORIZON, 14), 0.2, np.float32)
KEYS = [(1.0, "success")]


class Towards(HoldPolicy):
    """Asks for 0.2 of every joint."""

    def infer(self, requests):
        return [PolicyOutput(split_groups(widen(CHUNK))) for _ in requests]


@pytest.fixture
def drive(monkeypatch, tmp_path):
    """Drive a robot in memory to an end: drive(address, keys, flag …) gives status and robot."""
    PointRobot.made.clear()

    def run(address: str, keys: list, *more: str):
        monkeypatch.setattr(drive_run, "_operator", lambda config, robot: Keys([keys]))
        places = ("--robot", ROBOT, "--server", address, "--output", str(tmp_path / "driven"))
        words = ("--task", "Pick up the cube.", "--start-rad-s", "3")
        return cli.run(["drive", *places, *words, *more]), PointRobot.made[-1]

    return run


def arrived(driven: Path) -> dict:
    """What came of the episode, in which the robot went where the policy asked it to."""
    figures = json.loads((driven / "metrics.json").read_text())
    assert figures["latency_ms"]
    table = pq.read_table(driven / "data/chunk-000/episode_000000.parquet")
    np.testing.assert_allclose(table["action"].to_pylist()[-1], 0.2, atol=1e-2)
    return figures["per_episode"][0]


@pytest.mark.parametrize("scheme", ["openpi", "groot"])
def test_our_gateways_drive_a_robot(serve, drive, tmp_path, scheme):
    settings = GatewaySettings(openpi_port=0, groot_zmq_port=0, adaptation=Adaptation("", 20.0))
    ports = serve(Towards(), gateways=settings).server.gateways
    port = {"openpi": ports.openpi_port, "groot": ports.groot_zmq_port}[scheme]
    address = f"{scheme}://127.0.0.1:{port}"
    status, robot = drive(address, KEYS, "--camera", "ego_view=top")
    assert status == 0
    assert arrived(tmp_path / "driven")["outcome"] == "success"
    assert robot.calls[-2:] == ["hold", "release"]


def openpi_policy(observation: dict) -> dict:
    """As openpi's of an ALOHA: one state, one action, frames (3, height, width)."""
    assert observation["state"].shape == (14,)
    assert observation["images"]["cam_high"].shape == (3, 480, 640)
    return {"actions": np.tile(CHUNK[0], (50, 1))}


def test_a_server_of_openpis_drives_with_the_file_of_the_page(drive, tmp_path):
    (words,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    spec = tmp_path / "pi0.json"
    spec.write_text(words)
    settings = tmp_path / "robot.json"
    settings.write_text('{"height_width": [120, 160]}')
    more = ("--spec", str(spec), "--camera", "cam_high=top", "--robot-config", str(settings))
    with openpi_server(openpi_policy, {}) as port:
        status, _ = drive(f"openpi://127.0.0.1:{port}", KEYS, *more)
    assert status == 0
    assert arrived(tmp_path / "driven")["outcome"] == "success"


GROUPS = {
    name: [dim, "0 closed to 1 open" if "hand" in name else "rad"] for name, dim in GR1_DIMS.items()
}
CONFIGS = {
    "video": modality(["ego_view"], [0]),
    "state": modality(GROUPS, [0]),
    "action": modality(GROUPS, list(range(HORIZON))),
    "language": modality(["annotation.human.task_description"], [0]),
}


def groot_policy(observation: dict, options: dict | None = None) -> tuple[dict, dict]:
    return {name: rows[None] for name, rows in split_groups(widen(CHUNK)).items()}, {}


@pytest.fixture
def groot_spec(tmp_path) -> Path:
    path = tmp_path / "groot.json"
    path.write_text(json.dumps({"rate_hz": 20, "state": GROUPS, "action": GROUPS}))
    return path


@pytest.mark.parametrize("version", ["1.6", "1.7"])
def test_a_server_of_isaac_groots_drives(drive, tmp_path, groot_spec, version):
    more = ("--spec", str(groot_spec), "--camera", "ego_view=top")
    with groot_server(groot_policy, CONFIGS, version) as port:
        status, _ = drive(f"groot://127.0.0.1:{port}", KEYS, *more)
    assert status == 0
    assert arrived(tmp_path / "driven")["outcome"] == "success"


def test_a_server_that_dies_is_held_for_and_then_given_up(drive, tmp_path, groot_spec):
    more = ("--spec", str(groot_spec), "--camera", "ego_view=top", "--give-up-s", "0.5")
    asked = []

    def mortal(observation: dict, options: dict | None = None) -> tuple[dict, dict]:
        asked.append(observation)
        if len(asked) > 2:
            raise RuntimeError("out of memory")
        return groot_policy(observation)

    with groot_server(mortal, CONFIGS, "1.6") as port:
        status, robot = drive(f"groot://127.0.0.1:{port}", [(30.0, "failure")], *more)
    assert status == 0
    driven = arrived(tmp_path / "driven")
    assert driven["ended"] == "server_lost"
    assert "out of memory" in driven["error"]
    assert robot.calls[-2:] == ["hold", "release"]


def test_a_compressed_frame_is_asked_for_and_refused(serve, drive, capsys):
    server = serve(Towards(), gateways=GatewaySettings(groot_zmq_port=0)).server
    address = f"groot://127.0.0.1:{server.gateways.groot_zmq_port}"
    status, robot = drive(address, KEYS, "--camera", "ego_view=top", "--image-codec", "jpeg")
    assert status == 1
    assert "cannot read JPEG images, only RAW_RGB8" in capsys.readouterr().err
    assert robot.calls == []
