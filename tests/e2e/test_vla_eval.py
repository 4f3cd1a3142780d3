"""allenai's harness, by its own command: the same checkpoint, the same seeds, the same outcome."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("mujoco", reason="needs the extra 'sim'")

from .conftest import ROOT, wait_for_line
from .test_closed_loop_chain import SIM_HANDOVER, run, served

pytestmark = [pytest.mark.sim, pytest.mark.slow, pytest.mark.timeout(3600)]
PYTHON = Path(os.environ.get("HANDOVER_VLA_EVAL_ENV", Path(sys.executable).parents[1])) / "bin"


@pytest.fixture(scope="module", autouse=True)
def harness() -> None:
    """The harness, in this environment or in HANDOVER_VLA_EVAL_ENV."""
    program = "import vla_eval, handover_client.vla_eval, mujoco"
    found = subprocess.run([PYTHON / "python", "-c", program], capture_output=True, text=True)
    if found.returncode:
        reason = found.stderr.strip().splitlines()[-1]
        pytest.skip(f"no extra 'vla-eval' in {PYTHON.parent} ({reason}); HANDOVER_VLA_EVAL_ENV")


@contextmanager
def model_server(address: str, log: Path, *flags: str) -> Iterator[str]:
    """A model server of the harness in front of a policy server; its address."""
    module = ("-m", "handover_client.vla_eval.model_server", "--address", "127.0.0.1:0")
    told = (f"--args.server={address}", "--args.control_rate_hz=50", *flags)
    with log.open("w") as output:
        server = subprocess.Popen(
            [PYTHON / "python", *module, *told], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield "ws://" + wait_for_line(server, log, r"server listening on (\S+)")
    finally:
        server.kill()
        server.wait(timeout=60)


def evaluate(folder: Path, address: str, config: dict) -> dict:
    """Run `vla-eval run --no-docker`; what it writes of the benchmark."""
    folder.mkdir()
    whole = {"server": {"url": address, "timeout": 600}, "output_dir": str(folder), **config}
    (folder / "config.json").write_text(json.dumps(whole))  # JSON is YAML
    command = [PYTHON / "vla-eval", "run", "--no-docker", "--config", folder / "config.json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr
    (result,) = [
        json.loads(path.read_text())
        for path in folder.rglob("*.json")
        if path.name != "config.json"
    ]
    return result


def aloha(episodes: int, steps: int) -> dict:
    return {
        "benchmarks": [
            {
                "benchmark": "handover_client.vla_eval.benchmark:AlohaBenchmark",
                "episodes_per_task": episodes,
                "params": {"task": "transfer_cube", "seed": 1000, "max_steps": steps},
            }
        ]
    }


@pytest.mark.parametrize(("chunks", "episodes", "steps"), [("true", 2, 400), ("false", 1, 60)])
def test_the_harness_and_rollout_agree_on_every_seed(server_bin, tmp_path, chunks, episodes, steps):
    checkpoint = ROOT / "checkpoints/aloha-mini"
    flags = ("--args.layout=aloha", f"--args.chunks={chunks}")
    with served(server_bin, tmp_path / "log", "--checkpoint", checkpoint) as address:
        command = [SIM_HANDOVER, "rollout", "--server", address, "--output", tmp_path / "run"]
        count = ("--episodes", str(episodes), "--max-steps", str(steps))
        run(*command, *count, "--videos", "none", "--seed", "1000", "--workers", "1")
        with model_server(address, tmp_path / "model", *flags) as harness:
            result = evaluate(tmp_path / "harness", harness, aloha(episodes, steps))
    ours = [json.loads(line) for line in (tmp_path / "run/episodes.jsonl").read_text().splitlines()]
    theirs = [episode["metrics"] for task in result["tasks"] for episode in task["episodes"]]
    assert len(ours) == len(theirs) == episodes
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["success"] == other["success"]
        assert mine["strict_success"] == other["strict_success"]
        assert mine["max_reward"] == other["max_reward"]
        assert mine["steps"] == other["control_steps"]
