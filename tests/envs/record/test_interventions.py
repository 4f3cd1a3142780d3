"""Preparation of a recording with takeovers: nothing of the policy is guessed."""

import pytest

pytest.importorskip("mujoco", reason="needs the extra 'sim'")

from handover_client.errors import EvaluationError
from handover_client.rollout.episode import ServedPolicy
from handover_envs.record import interventions
from handover_envs.record.config import RecordConfig
from handover_proto.types import ActionSpec, CameraSpec, Limits, PolicySpec, ServerInfo, StateSpec

SPEC = PolicySpec(
    "own", (CameraSpec("top"),), (StateSpec("state", 14),), (ActionSpec("actions", 14),), 16
)


def prepare(tmp_path, **flags):
    config = RecordConfig(
        "transfer_cube", tmp_path / "recorded", server="localhost:1", takeover=True, **flags
    )
    return interventions.prepare_takeover(config, film=None)


def test_a_rate_that_the_server_does_not_tell_is_asked_for(tmp_path, monkeypatch):
    server = ServedPolicy("localhost:1", ServerInfo(SPEC, Limits()), 1.0)
    monkeypatch.setattr(interventions, "find_server", lambda config, security: server)
    with pytest.raises(EvaluationError, match="expected --policy-rate-hz HZ"):
        prepare(tmp_path)
    _, make_task, plan = prepare(tmp_path, policy_rate_hz=50.0)
    assert make_task(7).episode.chunk_rate_hz == 50.0
    assert plan["policy_rate_hz"] == 50.0
