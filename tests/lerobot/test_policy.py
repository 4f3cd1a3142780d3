"""LeRobot's own commands with `--policy.type=handover`, which LeRobot finds by itself."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
TASK = "Pick up the cube with the right arm and transfer it to the left arm."
POLICY = [
    "--policy.type=handover",
    "--policy.joints=[aloha]",
    "--policy.cameras={ego_view: top}",
    "--policy.control_rate_hz=50",
    f"--policy.task={TASK}",
]
ENVIRONMENT = ["--env.type=aloha", "--env.task=AlohaTransferCube-v0", "--eval.batch_size=1"]


def run(command, *flags, timeout_s=900):
    done = subprocess.run(
        [BIN / command, *flags], capture_output=True, text=True, timeout=timeout_s
    )
    return done.returncode, done.stdout + done.stderr


def test_lerobot_knows_the_policy():
    from lerobot.configs import PreTrainedConfig
    from lerobot.policies import get_policy_class
    from lerobot.utils.import_utils import register_third_party_plugins

    register_third_party_plugins()
    assert "handover" in PreTrainedConfig.get_known_choices()
    assert get_policy_class("handover").__name__ == "HandoverPolicy"


def test_its_evaluation_plays_episodes(server, tmp_path):
    flags = [*POLICY, *ENVIRONMENT, f"--policy.server={server}", "--policy.clock=simulated"]
    flags += ["--eval.n_episodes=2", "--env.episode_length=5", f"--output_dir={tmp_path / 'run'}"]
    status, said = run("lerobot-eval", *flags)
    assert status == 0, said
    info = json.loads((tmp_path / "run/eval_info.json").read_text())
    assert info["overall"]["n_episodes"] == 2


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--policy.clock=", "--policy.clock=wall for a robot"),
        ("--policy.joints=[]", "numbers without their names"),
        ("--policy.task=", "is no instruction: --policy.task"),
        ("--policy.server=127.0.0.1:1", "127.0.0.1:1"),
    ],
)
def test_what_is_missing_is_said_before_anything_moves(server, tmp_path, flag, said):
    kept = [each for each in POLICY if each.split("=")[0] != flag.split("=")[0]]
    flags = {"--policy.server": server, "--policy.clock": "simulated"}
    flags.pop(flag.split("=")[0], None)
    kept += [f"{name}={value}" for name, value in flags.items()]
    kept += ["--eval.n_episodes=1", "--env.episode_length=5", "--policy.connect_timeout_s=3"]
    status, told = run("lerobot-eval", *kept, flag, *ENVIRONMENT, f"--output_dir={tmp_path}")
    assert status != 0
    assert said in told


def test_its_rollout_drives_a_robot(server, tmp_path):
    flags = [*POLICY, f"--policy.server={server}", "--policy.clock=wall", "--fps=50"]
    flags += ["--robot.type=point_aloha", "--robot.id=point", "--duration=20"]
    flags += ["--return_to_initial_position=false", f"--task={TASK}", "--play_sounds=false"]
    status, said = run("lerobot-rollout", *flags)
    assert status == 0, said
    (told,) = re.findall(r"(\d+) actions, at most ([\d.]+) rad apart", said)
    assert int(told[0]) > 2
    assert float(told[1]) > 0.05  # the policy moved it


def test_its_own_real_time_chunking_is_refused(server, tmp_path):
    flags = [*POLICY, f"--policy.server={server}", "--policy.clock=wall", "--inference.type=rtc"]
    status, said = run("lerobot-rollout", *flags, "--robot.type=point_aloha", f"--task={TASK}")
    assert status != 0
    assert "Use '--inference.type=sync' instead" in said
