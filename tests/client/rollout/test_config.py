"""Flags of `handover rollout` that make no sense, and the seeds of its episodes."""

import dataclasses
import json

import pytest
from handover_client.errors import EvaluationError
from handover_client.rollout import simulation
from handover_client.rollout.config import RolloutConfig, check
from handover_client.rollout.episode import ServedPolicy
from handover_client.rollout.simulation import episode_seeds, episode_tasks
from handover_common.errors import UsageError
from handover_envs.tasks import find_task
from handover_proto.types import ActionSpec, CameraSpec, Limits, PolicySpec, ServerInfo, StateSpec

from ..stand_ins import flat_config


def config(tmp_path, **flags) -> RolloutConfig:
    return flat_config(**{"output": tmp_path / "run", "server": "localhost:1", **flags})


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ({"server": ""}, "--server"),
        ({"policy": "scripted"}, "--policy scripted"),
        ({"policy": "scripted", "server": "", "policy_rate_hz": 20.0}, "no --policy-rate-hz"),
        ({"episodes": 0}, "--episodes"),
        ({"execute_steps": 0}, "--execute-steps"),
        ({"workers": 0}, "--workers"),
        ({"image_size": 8}, "--image-size"),
        ({"latency_ms": 100.0}, "--realtime"),
        ({"realtime": True, "jitter_ms": -1.0}, "--jitter-ms"),
        ({"switching": "rtc"}, "--switching rtc needs --realtime"),
        ({"clock": "simulated"}, "--clock simulated needs --realtime"),
        ({"policy_rate_hz": 1e-9}, "--policy-rate-hz"),
        ({"policy_rate_hz": float("nan")}, "--policy-rate-hz"),
        ({"reconnect_s": 0.0}, "--reconnect-s"),
        ({"seed": 2**32 - 1}, "--seed"),
    ],
)
def test_senseless_flags_are_named(tmp_path, flags, names):
    with pytest.raises(UsageError, match=names):
        check(config(tmp_path, **flags))


def test_sensible_flags_pass(tmp_path):
    check(config(tmp_path))
    check(config(tmp_path, realtime=True, latency_ms=100.0, jitter_ms=50.0))
    check(config(tmp_path, realtime=True, clock="simulated", switching="ensemble"))
    check(config(tmp_path, policy="scripted", server=""))


def test_seeds_count_up_from_the_first(tmp_path):
    assert episode_seeds(config(tmp_path, seed=7, episodes=3)) == {0: 7, 1: 8, 2: 9}


def test_seeds_of_a_recording(tmp_path):
    meta = tmp_path / "recording/meta"
    meta.mkdir(parents=True)
    told = {"task": "transfer_cube", "episodes": [{"seed": 5}, {"seed": 8}, {"seed": 9}]}
    (meta / "recording.json").write_text(json.dumps(told))
    chosen = config(tmp_path, seeds_from=tmp_path / "recording", episodes=2)
    assert episode_seeds(chosen) == {0: 5, 1: 8}
    with pytest.raises(EvaluationError, match="a recording of transfer_cube"):
        episode_seeds(config(tmp_path, seeds_from=tmp_path / "recording", task="insertion"))
    with pytest.raises(EvaluationError, match=r"recording\.json"):
        episode_seeds(config(tmp_path, seeds_from=tmp_path))
    (meta / "recording.json").write_text(json.dumps({"task": "transfer_cube", "episodes": []}))
    with pytest.raises(EvaluationError, match="no episodes"):
        episode_seeds(config(tmp_path, seeds_from=tmp_path / "recording"))


def served(rate_hz: float) -> ServedPolicy:
    spec = PolicySpec(
        "own",
        (CameraSpec("top"),),
        (StateSpec("state", 14),),
        (ActionSpec("actions", 14),),
        16,
        rate_hz,
    )
    return ServedPolicy("localhost:1", ServerInfo(spec, Limits()), 1.0)


def test_a_rate_that_neither_the_server_nor_the_flag_tells_is_asked_for(tmp_path):
    with pytest.raises(EvaluationError, match="'own' policy acts: expected --policy-rate-hz HZ"):
        episode_tasks(config(tmp_path), served(0.0))
    (task, *_) = episode_tasks(config(tmp_path, policy_rate_hz=50.0), served(0.0))
    assert (task.chunk_rate_hz, task.view.control_steps) == (50.0, 1.0)
    (task, *_) = episode_tasks(config(tmp_path, policy_rate_hz=20.0), served(20.0))
    assert task.chunk_rate_hz == 20.0
    with pytest.raises(EvaluationError, match=r"acts at 20 Hz, --policy-rate-hz .* says 50: leave"):
        episode_tasks(config(tmp_path, policy_rate_hz=50.0), served(20.0))
    (task, *_) = episode_tasks(config(tmp_path, policy="scripted", server=""), None)
    assert task.chunk_rate_hz == 20.0


def test_a_change_that_changes_nothing_is_refused(tmp_path, monkeypatch):
    towel = dataclasses.replace(find_task("transfer_cube"), text="Fold the towel.")
    monkeypatch.setattr(simulation, "find_task", lambda name: towel)
    words = "--change instruction:2 would change nothing: “Fold the towel.” stays as it is"
    with pytest.raises(UsageError, match=words):
        episode_tasks(config(tmp_path, change="instruction:2"), served(20.0))
    (task, *_) = episode_tasks(config(tmp_path, change="instruction:1"), served(20.0))
    assert task.view.task == "fold the towel"
