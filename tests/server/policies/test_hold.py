"""The hold policy answers with where the robot is."""

import dataclasses

import numpy as np
import pytest
from handover_proto.embodiment import GR1_DIMS, aloha_targets
from handover_proto.types import ActionSpec, CameraSpec, Limits, PolicyRequest, StateSpec
from handover_proto.validation import check_request, example_request
from handover_server.errors import ServingError
from handover_server.inference.policy_check import BadOutput, check_output
from handover_server.policies.hold import ALOHA_HOLD, HoldPolicy


def test_hold_keeps_every_joint_where_it_is(observation):
    (output,) = HoldPolicy().infer([PolicyRequest(observation)])
    targets = aloha_targets(output.action)
    np.testing.assert_array_equal(targets, np.tile(np.linspace(-1, 1, 14, dtype="f4"), (16, 1)))


def test_hold_is_specified_as_alohas_policy():
    assert {g.name: g.dim for g in ALOHA_HOLD.state} == GR1_DIMS
    assert {g.name: g.dim for g in ALOHA_HOLD.action} == GR1_DIMS
    assert (ALOHA_HOLD.horizon, ALOHA_HOLD.rate_hz) == (16, 20.0)


def test_an_action_without_its_state_cannot_be_held():
    spec = dataclasses.replace(ALOHA_HOLD, action=(ActionSpec("left_arm", 6),))
    with pytest.raises(ServingError, match="cannot hold the action group 'left_arm' of width 6"):
        HoldPolicy(spec)


def test_the_example_request_fits_every_spec():
    check_request(example_request(ALOHA_HOLD), ALOHA_HOLD, Limits())
    cameras = (CameraSpec("top", 2, height=48, width=64), CameraSpec("wrist"))
    spec = dataclasses.replace(ALOHA_HOLD, cameras=cameras, state=(StateSpec("arm", 7, steps=3),))
    request = example_request(spec)
    check_request(request, spec, Limits())
    assert [frame.shape for frame in request.observation.cameras["top"]] == 2 * [(48, 64, 3)]


def test_the_output_check_finds_what_a_robot_must_not_be_sent():
    def output(**changes):
        (made,) = HoldPolicy().infer([example_request(ALOHA_HOLD)])
        return dataclasses.replace(made, action={**made.action, **changes})

    check_output([output()], 1, ALOHA_HOLD)
    bad = {
        "2 requests": ([output()], 2),
        "not finite": ([output(waist=np.full((16, 3), np.inf, np.float32))], 1),
        "float64": ([output(waist=np.zeros((16, 3)))], 1),
        r"\(15, 3\)": ([output(waist=np.zeros((15, 3), np.float32))], 1),
        "not those of the spec": ([output(tail=np.zeros((16, 3), np.float32))], 1),
    }
    for reason, (outputs, count) in bad.items():
        with pytest.raises(BadOutput, match=reason):
            check_output(outputs, count, ALOHA_HOLD)
