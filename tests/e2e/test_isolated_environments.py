"""Server and client in environments that cannot see each other's packages, on real recordings."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from handover_client.connection.policy_client import PolicyClient
from handover_proto.types import Observation

ROOT = Path(__file__).resolve().parents[2]

IN_PROCESS = """
import sys
import numpy as np
from handover_model.policy import load_policy
from handover_proto.types import Observation, PolicyRequest

given = np.load(sys.argv[2])
state = {name[6:]: given[name] for name in given.files if name.startswith("state.")}
observation = Observation({"ego_view": [given["frame"]]}, state, str(given["task"]))
policy = load_policy(sys.argv[1])
(output,) = policy.infer([PolicyRequest(observation, seed=int(given["seed"]))])
np.savez(sys.argv[3], **output.action)
"""


@pytest.fixture(scope="session")
def observation(dataset) -> Observation:
    from handover_conversion.groot.dataset import GrootDataset

    recorded = GrootDataset.open(dataset)
    episode = recorded.read_episode(0)
    (frame,) = recorded.read_frames(0, "ego_view", [40])
    state = {
        name: np.ascontiguousarray(episode.state[40:41, part])
        for name, part in recorded.state_groups.items()
    }
    return Observation({"ego_view": [frame]}, state, episode.task_at(40))


def test_each_environment_lacks_what_clashes(server_bin):
    for python, absent in ((server_bin / "python", "mujoco"), (sys.executable, "torch")):
        program = f"import importlib.util; print(importlib.util.find_spec({absent!r}))"
        done = subprocess.run([python, "-c", program], capture_output=True, text=True, timeout=180)
        assert done.stdout.strip() == "None", f"{python} has {absent}"


def test_a_served_chunk_is_bit_identical_to_one_computed_in_process(
    server_bin, server_address, observation, tmp_path
):
    given, computed = tmp_path / "given.npz", tmp_path / "computed.npz"
    seed = 1234567
    np.savez(
        given,
        frame=observation.cameras["ego_view"][0],
        task=observation.task,
        seed=seed,
        **{f"state.{name}": values for name, values in observation.state.items()},
    )
    program = [server_bin / "python", "-c", IN_PROCESS, ROOT / "checkpoints/aloha-mini"]
    subprocess.run([*program, given, computed], check=True, timeout=120)
    with PolicyClient.connect(server_address, timeout_s=30) as client:
        served = client.infer(observation, seed=seed, timeout_s=30)
        again = client.infer(observation, seed=seed, timeout_s=30)
        other = client.infer(observation, seed=seed + 1, timeout_s=30)
    with np.load(computed) as expected:
        assert set(expected.files) == set(served.action)
        for name in expected.files:
            np.testing.assert_array_equal(served.action[name], expected[name])
            np.testing.assert_array_equal(served.action[name], again.action[name])
    assert any((served.action[name] != other.action[name]).any() for name in served.action)


def replay(address: str, dataset: Path, output: Path) -> dict:
    command = [Path(sys.executable).with_name("handover"), "replay", "--server", address]
    command += ["--dataset-path", dataset, "--traj-ids", "0", "--steps", "48", "--output", output]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    return json.loads((output / "metrics.json").read_text())


def test_open_loop_replay_gives_the_same_figures_twice(server_address, dataset, tmp_path):
    first = replay(server_address, dataset, tmp_path / "first")
    second = replay(server_address, dataset, tmp_path / "second")
    for figures in ("slots_29", "joints_14"):
        assert first[figures] == second[figures]
        assert {"mse", "mae", "success_at", "accuracy_at", "drift"} <= set(first[figures])
    assert first["joints_14"]["mse"] > 0
    assert (tmp_path / "first/report.html").stat().st_size > 10_000
