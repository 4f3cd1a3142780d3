"""Which robots and policies fit: units of a group, shapes of frames, moments of the past."""

from dataclasses import replace

import pytest
from handover_client.drive.fit import Misfit, fit
from handover_proto import ActionSpec, CameraSpec, PolicySpec, StateSpec

from .fakes import PointRobot

ROBOT = PointRobot(height_width=(480, 640)).describe()


def policy(unit: str = "rad, 0 closed to 1 open", **camera: int) -> PolicySpec:
    """An ALOHA's joints in one group, as openpi's have them."""
    return PolicySpec(
        "openpi",
        (CameraSpec("top", **camera),),
        (StateSpec("state", 14, unit=unit),),
        (ActionSpec("actions", 14, unit=unit),),
        horizon=50,
        rate_hz=50.0,
    )


def sizes(spec: PolicySpec, **flags: bool) -> dict:
    return dict(fit(ROBOT, spec, {}, 0.0, {}, 256, **flags).sizes)


def test_a_group_states_the_units_of_all_its_joints():
    assert sizes(policy())
    for unit in ("rad", "deg, 0 closed to 1 open", "1 (0 closed, 1 open)"):
        with pytest.raises(Misfit, match="convert the recordings to the robot's units"):
            sizes(policy(unit))


def test_units_that_the_server_does_not_state_are_asked_for():
    with pytest.raises(Misfit) as asked:
        sizes(policy(unit=""))
    (_, line) = asked.value.lines()
    assert line == (
        "  the server does not state the units of state, actions; the robot's are rad, 0 closed … "
        "1 open: --robot-units, if the policy's are the same"
    )
    assert sizes(policy(unit=""), robot_units=True)


def test_frames_are_of_the_size_that_the_policy_names():
    assert sizes(policy()) == {"top": (256, 256)}
    assert sizes(policy(height=224, width=224)) == {"top": (224, 224)}
    assert sizes(policy(height=240, width=320)) == {"top": (240, 320)}
    assert sizes(policy(height=224, width=299)) == {"top": (224, 299)}, "298.7, to a pixel"


def test_frames_of_another_shape_are_no_guess():
    with pytest.raises(Misfit, match="wants 360×640 frames, top has 480×640"):
        sizes(policy(height=360, width=640))


def test_a_policy_that_looks_back_is_told_before_anything_moves():
    spec = policy()
    with pytest.raises(Misfit, match="state: the policy looks back in time, at 2 moments"):
        sizes(replace(spec, state=(replace(spec.state[0], steps=2, delta_indices=(-1, 0)),)))
