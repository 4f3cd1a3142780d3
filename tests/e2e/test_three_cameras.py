"""Three cameras, own groups and a look back in time: recorded, trained on, served, judged."""

import json
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("mujoco", reason="needs the extra 'sim'")

from .conftest import ROOT
from .test_closed_loop_chain import SIM_HANDOVER, rollout, run, served

pytestmark = [pytest.mark.sim, pytest.mark.slow, pytest.mark.timeout(1800)]
CAMERAS = {"cam_high": "top", "cam_left_wrist": "left_wrist", "cam_right_wrist": "right_wrist"}
GROUPS = {
    "left_arm": ["0-5"],
    "left_gripper": [6],
    "right_arm": ["7-12"],
    "right_gripper": [13],
}


def robot(path: Path) -> Path:
    """ALOHA's columns in groups of its own, with three cameras."""
    groups = {
        name: {"columns": columns, "unit": "rad", "time": "linear"}
        for name, columns in GROUPS.items()
    }
    for name in ("left_gripper", "right_gripper"):
        groups[name] = {"columns": GROUPS[name], "range": [0.0, 1.0], "time": "nearest"}
    relative = {
        name: {**group, "relative": True} if name.endswith("arm") else group
        for name, group in groups.items()
    }
    cameras = {name: f"observation.images.{name}" for name in CAMERAS}
    described = {"name": "aloha3", "cameras": cameras, "state": groups, "action": relative}
    path.write_text(json.dumps(described))
    return path


def modality_config(path: Path) -> Path:
    """Frames of now and of 0.2 s ago, joints of three moments, eight steps a chunk."""
    arm = {"rep": "RELATIVE", "type": "NON_EEF", "format": "DEFAULT"}
    gripper = {"rep": "ABSOLUTE", "type": "NON_EEF", "format": "DEFAULT"}
    config = {
        "video": {"delta_indices": [-4, 0], "modality_keys": list(CAMERAS)},
        "state": {"delta_indices": [-2, -1, 0], "modality_keys": list(GROUPS)},
        "action": {
            "delta_indices": list(range(8)),
            "modality_keys": list(GROUPS),
            "action_configs": [arm, gripper, arm, gripper],
        },
        "language": {
            "delta_indices": [0],
            "modality_keys": ["annotation.human.task_description"],
        },
    }
    path.write_text(f"MODALITY_CONFIG = {config!r}\n")
    return path


def test_a_checkpoint_of_three_cameras_is_trained_served_and_judged(server_bin, tmp_path):
    recorded, data, output = (tmp_path / name for name in ("recorded", "data", "policy"))
    filmed = ("--camera", *("=".join(pair) for pair in CAMERAS.items()))
    scenes = ("--task", "transfer_cube", "--episodes", "2", "--seed", "7", "--fps", "20")
    frames = ("--image-size", "64", "--render", "plain")
    run(SIM_HANDOVER, "record", *scenes, *frames, *filmed, "--output", recorded)
    described = ("--robot", robot(tmp_path / "aloha3.json"), "--image-size", "64")
    run(server_bin / "handover", "convert", "--source", recorded, "--output", data, *described)
    flags = (
        *("--embodiment-tag", "NEW_EMBODIMENT", "--max-steps", "2", "--save-steps", "2"),
        *("--global-batch-size", "2", "--dataloader-num-workers", "0", "--device", "cpu"),
        "--no-cache-features",
        *("--report-to", "none", "--cache-dir", tmp_path / "cache"),
    )
    base = ROOT / "checkpoints/aloha-mini-base"
    config = ("--modality-config-path", modality_config(tmp_path / "aloha3.py"))
    command = [server_bin / "handover", "finetune", "--base-model-path", base, *flags, *config]
    done = subprocess.run(
        [*command, "--dataset-path", data, "--output-dir", output],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    with served(server_bin, tmp_path / "log", "--checkpoint", output) as address:
        figures = rollout(address, tmp_path / "rollout", "--max-steps", "60")
        replayed = [SIM_HANDOVER, "replay", "--server", address, "--dataset-path", data]
        run(*replayed, "--traj-ids", "0", "--steps", "16", "--output", tmp_path / "replay")
    views = figures["settings"]["views"]
    assert {name: view[0] for name, view in views.items()} == CAMERAS
    assert figures["settings"]["horizon"] == 8
    (episode,) = figures["per_episode"]
    assert episode["steps"] == 60
    assert figures["provenance"]["server"]["checkpoint_hash"]
    open_loop = json.loads((tmp_path / "replay/metrics.json").read_text())
    assert open_loop["all"]["mse"] > 0
