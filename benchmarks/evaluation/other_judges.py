"""The same seeds judged twice: by `handover rollout`, and by allenai's `vla-eval`.

    python -m benchmarks.evaluation.other_judges --checkpoint DIR --episodes 20 \
        --server-python .venv-server/bin/python --harness-python ENV/bin/python

Both ask one server of the checkpoint; the harness by its own command, without containers. The
harness's environment has the extras `sim` and `vla-eval`.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.harness.result_file import write_result
from benchmarks.harness.server_process import server_process

READY_S = 900.0
BENCHMARK = "handover_client.vla_eval.benchmark:AlohaBenchmark"
JUDGED = ("success", "strict_success", "max_reward", "steps")


@dataclass(frozen=True)
class OtherJudges:
    """Judge a checkpoint twice."""

    checkpoint: Path = Path("checkpoints/aloha-mini")
    tasks: tuple[str, ...] = ("transfer_cube", "insertion")
    episodes: int = 20
    """Of each task"""
    seed: int = 1000
    server_python: Path = Path(".venv-server/bin/python")
    harness_python: Path = Path(sys.executable)
    name: str = "vla_eval"
    """The result goes to benchmarks/results/NAME.json"""


def main(config: OtherJudges) -> dict[str, Any]:
    """Play, compare, print and write the outcomes."""
    serve = (str(config.server_python), "-m", "handover_client.cli", "serve", "--port", "0")
    command = (*serve, "--checkpoint", str(config.checkpoint))
    with (
        tempfile.TemporaryDirectory() as folder,
        server_process(*command, quiet=True, ready_s=READY_S) as server,
    ):
        ours = {task: rollout(config, server.address, task, Path(folder)) for task in config.tasks}
        theirs = harness(config, server.address, Path(folder))
    episodes = [
        {"task": task, "seed": config.seed + place, "rollout": mine, "vla_eval": other}
        for task in config.tasks
        for place, (mine, other) in enumerate(zip(ours[task], theirs[task], strict=True))
    ]
    result = {
        "what": "outcomes of the same seeds by handover rollout and by vla-eval run --no-docker",
        "checkpoint": config.checkpoint.name,
        "episodes": len(episodes),
        "the_same": sum(each["rollout"] == each["vla_eval"] for each in episodes),
        "successes": {
            judge: sum(each[judge]["success"] for each in episodes)
            for judge in ("rollout", "vla_eval")
        },
        "per_episode": episodes,
    }
    print({key: value for key, value in result.items() if key != "per_episode"})
    write_result(config.name, result)
    return result


def rollout(config: OtherJudges, address: str, task: str, folder: Path) -> list[dict[str, Any]]:
    """Play a task's seeds; what came of each."""
    output = folder / f"rollout_{task}"
    command = [sys.executable, "-m", "handover_client.cli", "rollout", "--server", address]
    command += ["--task", task, "--videos", "none", "--seed", str(config.seed)]
    command += ["--episodes", str(config.episodes), "--output", str(output)]
    subprocess.run(command, check=True)
    lines = (output / "episodes.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: json.loads(line)[key] for key in JUDGED} for line in lines]


def harness(config: OtherJudges, address: str, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Run the harness on all tasks; what came of each seed."""
    with model_server(config.harness_python, address) as url:
        evaluation = {
            "server": {"url": url, "timeout": 600},
            "output_dir": str(folder / "harness"),
            "benchmarks": [
                {
                    "benchmark": BENCHMARK,
                    "name": task,
                    "episodes_per_task": config.episodes,
                    "params": {"task": task, "seed": config.seed},
                }
                for task in config.tasks
            ],
        }
        path = folder / "evaluation.json"  # JSON is YAML
        path.write_text(json.dumps(evaluation), encoding="utf-8")
        command = [config.harness_python.with_name("vla-eval"), "run", "--no-docker"]
        subprocess.run([*command, "--config", path], check=True)
    found = {}
    for written in (folder / "harness").glob("*.json"):
        judged = json.loads(written.read_text(encoding="utf-8"))
        found[judged["benchmark"]] = [
            {**each["metrics"], "steps": each["metrics"]["control_steps"]}
            for task in judged["tasks"]
            for each in task["episodes"]
        ]
    return {
        task: [{key: each[key] for key in JUDGED} for each in found[task]] for task in config.tasks
    }


@contextmanager
def model_server(python: Path, address: str) -> Iterator[str]:
    """Run the model server of the harness; its address."""
    program = (
        "import sys; from vla_eval.model_servers import serve as s; "
        "from handover_client.vla_eval.model_server import HandoverModelServer as M; "
        "import anyio; "
        "m = M(sys.argv[1], 50.0, 'aloha', chunks=True, call_timeout_s=60.0)\n"
        "async def run():\n"
        "    async with anyio.create_task_group() as group:\n"
        "        port = await group.start(s.serve_async, m, '127.0.0.1', 0)\n"
        "        print(f'ws://127.0.0.1:{port}', flush=True)\n"
        "anyio.run(run)"
    )
    command = (str(python), "-c", program, address)
    with server_process(*command, quiet=True, ready_s=READY_S) as server:
        yield server.address


if __name__ == "__main__":
    main(tyro.cli(OtherJudges))
