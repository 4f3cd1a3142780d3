"""LeRobot's own commands with `--policy.type=handover`, in an environment of LeRobot's own.

    python -m benchmarks.evaluation.lerobot --python python3.12 --episodes 20

Makes .venv-lerobot (LeRobot of PyPI: gigabytes), serves the checkpoint from --server-env, runs
tests/lerobot and lerobot-eval there, and `handover rollout` on the same seeds in the environment
of this script. Time is simulated in both, so a busy machine changes nothing but how long it takes.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from handover_common import write_json

from benchmarks.harness.machine import describe_run
from benchmarks.harness.server_process import server_process

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "benchmarks/results/lerobot_eval.json"
LEROBOT = "lerobot[core-scripts,evaluation,aloha,feetech]==0.6.1"
TASK = "Pick up the cube with the right arm and transfer it to the left arm."
PLUGIN = "client/lerobot_policy_handover"
STEPS = 400
_PACKAGES = ("lerobot", "torch", "gym-aloha", "mujoco", "dm-control", "numpy", "grpcio", "protobuf")


def make_environment(folder: Path, python: str) -> Path:
    """Make the environment where it is not there yet; gives its programs' folder."""
    if not (folder / ".ready").exists():
        subprocess.run([python, "-m", "venv", folder], check=True)
        pip = [folder / "bin/python", "-m", "pip", "install", "-q"]
        subprocess.run([*pip, LEROBOT, "-e", f"{ROOT}[sim]", "-e", ROOT / PLUGIN], check=True)
        subprocess.run([*pip, "pytest>=8", "pytest-timeout", "hypothesis"], check=True)
        (folder / ".ready").touch()
    return folder / "bin"


def test_in(programs: Path, address: str) -> str:
    """Run the tests that want LeRobot; gives pytest's last line."""
    command = [programs / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/lerobot"]
    environment = {**os.environ, "HANDOVER_SERVER": address, "MUJOCO_GL": "egl"}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    print(done.stdout)
    if done.returncode:
        raise SystemExit("tests/lerobot fail: nothing is measured")
    return done.stdout.strip().splitlines()[-1]


def evaluate(programs: Path, address: str, output: Path, episodes: int, seed: int) -> list[bool]:
    """Play episodes by lerobot-eval; gives each one's success."""
    flags = {
        "policy.type": "handover",
        "policy.server": address,
        "policy.clock": "simulated",
        "policy.control_rate_hz": 50,
        "policy.joints": "[aloha]",
        "policy.cameras": "{ego_view: top}",
        "policy.task": TASK,
        "policy.seed": seed,
        "policy.image_codec": "png",
        "env.type": "aloha",
        "env.task": "AlohaTransferCube-v0",
        "env.episode_length": STEPS,
        "eval.n_episodes": episodes,
        "eval.batch_size": 1,
        "seed": seed,
        "output_dir": output,
    }
    if not (output / "eval_info.json").exists():
        words = [f"--{name}={value}" for name, value in flags.items()]
        environment = {**os.environ, "MUJOCO_GL": "egl"}
        subprocess.run([programs / "lerobot-eval", *words], check=True, env=environment)
    (task,) = json.loads((output / "eval_info.json").read_text())["per_task"]
    return [bool(success) for success in task["metrics"]["successes"]]


def roll_out(address: str, output: Path, episodes: int, seed: int) -> list[bool]:
    """Play the same seeds by handover rollout, in simulated time too; gives each one's success."""
    flags = ["--server", address, "--task", "transfer_cube", "--output", str(output)]
    flags += ["--episodes", str(episodes), "--seed", str(seed), "--max-steps", str(STEPS)]
    flags += ["--realtime", "--clock", "simulated", "--switching", "rtc_crossfade"]
    command = [sys.executable, "-m", "handover_client.cli", "rollout", *flags]
    if not (output / "metrics.json").exists():
        subprocess.run([*command, "--videos", "none", "--workers", "1"], check=True)
    lines = (output / "episodes.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [bool(record["success"]) for record in records]


def versions(programs: Path) -> dict[str, str]:
    """List what LeRobot's environment has."""
    program = (
        "import json, sys; from importlib.metadata import version; "
        "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
    )
    command = [programs / "python", "-c", program, *_PACKAGES]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def main(arguments: argparse.Namespace) -> None:
    """Make, test, play, and write the result."""
    programs = make_environment(arguments.environment, arguments.python)
    serve = [str(arguments.server_env / "bin/python"), "-m", "handover_client.cli", "serve"]
    serve += ["--checkpoint", arguments.checkpoint, "--port", "0"]
    arguments.folder.mkdir(parents=True, exist_ok=True)
    given = arguments.episodes, arguments.seed
    with server_process(*serve) as server:
        tested = None if arguments.skip_tests else test_in(programs, server.address)
        by_lerobot = evaluate(programs, server.address, arguments.folder / "lerobot", *given)
        by_rollout = roll_out(server.address, arguments.folder / "rollout", *given)
    result: dict[str, Any] = {
        "task": "transfer_cube",
        "checkpoint": Path(arguments.checkpoint).name,
        "episodes": arguments.episodes,
        "seeds": [arguments.seed, arguments.seed + arguments.episodes - 1],
        "steps": STEPS,
        "tests": tested,
        "lerobot_eval": {"successes": sum(by_lerobot), "per_episode": by_lerobot},
        "handover_rollout": {"successes": sum(by_rollout), "per_episode": by_rollout},
        "same_outcome": sum(map(bool.__eq__, by_lerobot, by_rollout)),
        "versions": versions(programs),
        "run": describe_run(),
    }
    write_json(RESULT, result)
    print(json.dumps({key: result[key] for key in ("lerobot_eval", "handover_rollout")}))
    print(RESULT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="LeRobot's commands with a served policy.")
    parser.add_argument("--python", default="python3.12")
    parser.add_argument("--environment", type=Path, default=ROOT / ".venv-lerobot")
    parser.add_argument("--server-env", type=Path, default=ROOT / ".venv-server")
    parser.add_argument("--checkpoint", default=str(ROOT / "checkpoints/aloha-mini"))
    parser.add_argument("--folder", type=Path, default=Path("runs/lerobot"))
    parser.add_argument("--skip-tests", action="store_true", help="play the episodes alone")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1000)
    main(parser.parse_args())
