"""Rows at a client's control rate, made of a policy's steps."""

import dataclasses

import numpy as np
import pytest
from handover_proto.embodiment import GRIPPER_JOINTS
from handover_proto.types import ActionSpec
from handover_server.errors import ServingError
from handover_server.gateways.control_rate import at_rate, check_rate, jumping_columns
from handover_server.policies.hold import ALOHA_HOLD


def test_rows_at_fifty_hertz_lie_between_those_at_twenty_and_grippers_jump():
    targets = np.repeat(np.arange(16, dtype=np.float32)[:, None], 14, axis=1)
    rows = at_rate(targets, 20.0, 50.0, GRIPPER_JOINTS)
    assert rows.shape == (40, 14)
    np.testing.assert_allclose(rows[:6, 0], [0, 0.4, 0.8, 1.2, 1.6, 2.0], atol=1e-6)
    assert rows[:6, 6].tolist() == [0, 0, 0, 1, 1, 2]
    assert rows[-1, 0] == 15


@pytest.mark.parametrize("rate", [20.0, 10.0])
def test_a_rate_that_divides_takes_the_steps_themselves(rate):
    targets = np.random.default_rng(0).standard_normal((16, 14)).astype(np.float32)
    rows = at_rate(targets, 20.0, rate, GRIPPER_JOINTS)
    np.testing.assert_array_equal(rows, targets[:: int(20 / rate)])


def test_grippers_and_rotations_of_any_robot_jump():
    groups = (
        ActionSpec("left_arm", 3),
        ActionSpec("left_gripper", 1),
        ActionSpec("wrist", 4, unit="quaternion"),
        ActionSpec("base", 2),
    )
    spec = dataclasses.replace(ALOHA_HOLD, action=groups)
    assert jumping_columns(spec) == [3, 4, 5, 6, 7]


def test_a_rate_can_be_met_by_a_policy_that_tells_its_own_alone():
    check_rate(ALOHA_HOLD, 50.0)
    silent = dataclasses.replace(ALOHA_HOLD, rate_hz=0.0)
    check_rate(silent, None)
    with pytest.raises(ServingError, match=r"hold does not say at which rate it acts.*50"):
        check_rate(silent, 50.0)


def test_a_policy_whose_chunks_begin_later_is_refused_before_a_robot_plays_them_early():
    later = dataclasses.replace(ALOHA_HOLD, first_step=1)
    with pytest.raises(ServingError, match="begin 1 steps after the observation"):
        check_rate(later, None)
