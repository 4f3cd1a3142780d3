"""A few demonstrations become a policy that beats both baselines, by public commands."""

import json
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("mujoco", reason="needs the extra 'sim'")

from .conftest import ROOT
from .test_closed_loop_chain import SIM_HANDOVER, run, served

pytestmark = [pytest.mark.sim, pytest.mark.slow, pytest.mark.timeout(1500)]
FLAGS = (
    *("--no-random-crop", "--state-noise", "0.007", "--ema-decay", "0.99"),
    *("--learning-rate", "1.5e-3", "--weight-decay", "1e-4", "--global-batch-size", "32"),
    *("--max-steps", "400", "--save-steps", "400", "--val-episodes", "2", "--report-to", "none"),
    *("--device", "cpu", "--dataloader-num-workers", "0"),
)


def test_twelve_demonstrations_from_the_base_beat_holding_still_and_the_mean_of_the_others(
    server_bin: Path, tmp_path: Path
) -> None:
    recorded, data, output = (tmp_path / name for name in ("recorded", "data", "policy"))
    scenes = ("--task", "transfer_cube", "--episodes", "12", "--seed", "5000")
    frames = ("--fps", "20", "--image-size", "256", "--render", "plain")
    run(SIM_HANDOVER, "record", *scenes, *frames, "--output", recorded)
    run(server_bin / "handover", "convert", "--source", recorded, "--output", data)
    base = ROOT / "checkpoints/aloha-mini-base"
    command = [server_bin / "handover", "finetune", "--base-model-path", base, *FLAGS]
    places = ("--dataset-path", data, "--output-dir", output, "--cache-dir", tmp_path / "cache")
    done = subprocess.run([*command, *places], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    record = json.loads((output / "training_record.json").read_text())
    held_out = [str(one) for one in record["trained_on"][0]["held_out_episodes"]]
    assert len(held_out) == 2
    with served(server_bin, tmp_path / "server.log", "--checkpoint", output) as address:
        episodes = ("--traj-ids", *held_out, "--output", tmp_path / "replay")
        run(SIM_HANDOVER, "replay", "--server", address, "--dataset-path", data, *episodes)
    figures = json.loads((tmp_path / "replay/metrics.json").read_text())
    part = next(iter(figures["parts"]))
    policy = figures[part]["mse"]
    for baseline, parts in figures["baselines"].items():
        assert policy < 0.8 * parts[part]["mse"], baseline
