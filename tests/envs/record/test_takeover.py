"""`handover record --server --takeover`: when the expert takes over, and what is kept of it."""

import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.sim
pytest.importorskip("mujoco", reason="needs the extra 'sim'")
pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'sim'")

from handover_common.errors import UsageError  # noqa: E402
from handover_common.parallel import Outcome  # noqa: E402
from handover_conversion import DatasetError  # noqa: E402
from handover_envs.experts import Expert  # noqa: E402
from handover_envs.record import run as recording  # noqa: E402
from handover_envs.record.command import main  # noqa: E402
from handover_envs.record.config import RecordConfig  # noqa: E402
from handover_envs.record.takeover import SPARED, TakeoverRule  # noqa: E402
from handover_envs.simulator import AlohaSimulator  # noqa: E402

from ...client.serving import ServerProcess  # noqa: E402


def reason_after(rewards: list[int], when="wrong", moment=10**9) -> tuple[str, int]:
    """Why, and before which control step the expert takes over."""
    rule = TakeoverRule(when, moment)
    for step, reward in enumerate(rewards):
        if rule.reason:
            return rule.reason, step
        rule.add(reward)
    return rule.reason, len(rewards)


def test_nothing_new_for_three_seconds_is_wrong():
    assert reason_after([0] * 400) == ("stalled", 150)
    assert reason_after([0] * 100 + [1] * 300) == ("stalled", 251)
    assert reason_after([0] * 100 + [1] * 50 + [2] * 100 + [4] * 50) == ("", 300)


def test_what_is_dropped_for_half_a_second_is_lost_but_a_flicker_is_not():
    assert reason_after([0] * 50 + [2] * 20 + [0] * 100) == ("lost", 95)
    assert reason_after([2] * 20 + [0] * 24 + [2] * 20) == ("", 64)
    assert reason_after([3] * 20 + [2] * 100) == ("", 120)


def test_a_moment_comes_whatever_goes_on_unless_only_what_is_wrong_counts():
    assert reason_after([0] * 400, "either", 30) == ("moment", 30)
    assert reason_after([0] * 400, "moment", 300) == ("moment", 300)
    assert reason_after([0] * 400, "either", 300) == ("stalled", 150)
    assert reason_after([0] * 400, "wrong", 30) == ("stalled", 150)


@pytest.fixture
def here(monkeypatch):
    """Record in this process, in black."""

    class HereAndNow:
        def map_unordered(self, function, tasks):
            for task in tasks:
                yield Outcome(task, function(task), None)

    @contextmanager
    def open_executor(workers, cluster):
        yield HereAndNow()

    def black(simulator, size=None, camera="top", qpos=None):
        height, width = (size, size) if isinstance(size, int) else size or (480, 640)
        return np.zeros((height, width, 3), np.uint8)

    monkeypatch.setattr(AlohaSimulator, "render", black)
    monkeypatch.setattr(recording, "open_executor", open_executor)
    return monkeypatch


def test_the_experts_part_is_an_episode_that_goes_on_from_where_the_policy_failed(here, tmp_path):
    with ServerProcess("--policy", "hold", log=tmp_path / "log") as server:
        main(
            RecordConfig(
                "transfer_cube_left",
                tmp_path / "set",
                episodes=1,
                seed=3,
                fps=50,
                image_size=64,
                server=server.wait(),
                takeover=True,
                takeover_when="wrong",
            )
        )
    record = json.loads((tmp_path / "set/meta/recording.json").read_text())
    (episode,) = record["episodes"]
    assert episode["intervention"] == {"reason": "stalled", "at_s": 3.0}
    assert record["takeover"] == "wrong"
    table = pq.read_table(tmp_path / "set/data/chunk-000/episode_000000.parquet")
    assert all(table["intervention"].to_pylist())
    info = json.loads((tmp_path / "set/meta/info.json").read_text())
    assert info["features"]["intervention"]["dtype"] == "bool"
    with AlohaSimulator("transfer_cube_left") as simulator:
        held = simulator.reset(3)
        for step in range(150):  # what the hold policy did, asked anew after every 8 of its steps
            if step % 20 == 0:
                held = simulator.state.astype(np.float32)
            simulator.step(held)
        state = simulator.state.astype(np.float32)
        np.testing.assert_array_equal(np.float32(table["observation.state"][0].as_py()), state)
        for action in np.float32(table["action"].to_pylist()):
            reward = simulator.step(action)
        assert reward == 4
        assert simulator.is_held


@pytest.mark.parametrize("task", ["transfer_cube", "insertion"])
@pytest.mark.parametrize("after", [60, 140, 200])
def test_an_expert_finishes_what_another_began(task, after):
    """With nothing in the hands, with parts lifted, and with both hands at work."""
    expert = Expert(task)
    plan = expert.plan(2)
    with AlohaSimulator(task) as simulator:
        simulator.reset(2)
        for targets in plan.targets[:after]:
            simulator.step(targets)
        start = plan.targets[after - 1]
        rest = expert.recover(7, start, simulator.object_poses, simulator.contacts())
        np.testing.assert_allclose(rest.targets[0], start, atol=0.02)
        rewards = [simulator.step(targets) for targets in rest.targets]
    assert rewards[-1] == 4


def test_a_policy_that_needs_nobody_ends_the_recording_with_what_to_do(here, tmp_path):
    def spare(config, film):
        return recording.Worker(lambda task: SPARED, lambda seed: Seeded(seed), {})

    here.setattr(recording, "prepare", lambda config: spare(config, None))
    config = RecordConfig("insertion", tmp_path / "set", 2, server="there:1", takeover=True)
    with pytest.raises(DatasetError, match=r"needed no takeover in 2\d episodes.*--takeover-when"):
        main(config)
    assert not (tmp_path / "set").exists()


class Seeded:
    def __init__(self, seed: int) -> None:
        self.seed = seed


@pytest.mark.parametrize("half", [{"server": "there:1"}, {"takeover": True}])
def test_a_server_and_a_takeover_belong_together(half):
    with pytest.raises(UsageError, match="belong together"):
        main(RecordConfig("insertion", Path("set"), **half))
