"""What a policy is shown: its cameras, its sizes, and the past that it asks for."""

import dataclasses

import numpy as np
import pytest
from handover_client.control.joint_layout import find_joint_layout
from handover_client.control.robot_view import RobotView, view_for
from handover_proto.errors import UnmetPrecondition
from handover_proto.types import ActionSpec, CameraSpec, PolicySpec, StateSpec

SIMULATED = ("top", "angle", "left_wrist", "right_wrist")
SPEC = PolicySpec(
    "test", (CameraSpec("ego_view"),), (StateSpec("j", 14),), (ActionSpec("j", 14),), 16
)


def view(cameras: tuple[CameraSpec, ...], told=None, size=None, **state) -> RobotView:
    spec = dataclasses.replace(SPEC, cameras=cameras, state=(StateSpec("j", 14, **state),))
    return view_for(
        spec,
        find_joint_layout(spec),
        "move",
        control_steps=2.5,
        cameras=SIMULATED,
        told=told or {},
        size=size,
    )


def sources(*args, **kwargs) -> dict[str, str]:
    return {camera.name: camera.source for camera in view(*args, **kwargs).cameras}


def test_an_only_camera_is_the_top_one_unless_its_name_or_a_flag_says_otherwise():
    assert sources((CameraSpec("ego_view"),)) == {"ego_view": "top"}
    assert sources((CameraSpec("angle"),)) == {"angle": "angle"}
    assert sources((CameraSpec("ego_view"),), {"ego_view": "angle"}) == {"ego_view": "angle"}


def test_real_alohas_names_are_known_and_others_are_asked_for():
    three = tuple(CameraSpec(name) for name in ("cam_high", "cam_left_wrist", "cam_right_wrist"))
    assert list(sources(three).values()) == ["top", "left_wrist", "right_wrist"]
    two = (CameraSpec("cam_high"), CameraSpec("cam_low"))
    with pytest.raises(UnmetPrecondition, match=r"--camera cam_low=CAMERA.*left_wrist"):
        view(two)
    assert sources(two, {"cam_low": "angle"})["cam_low"] == "angle"
    with pytest.raises(UnmetPrecondition, match="--camera cam_left: the policy wants cam_high"):
        view((CameraSpec("cam_high"),), {"cam_left": "top"})


def test_frames_have_the_size_that_the_policy_names_unless_told():
    sizes = [
        view((CameraSpec("top", height=480, width=640),)),
        view((CameraSpec("top"),)),
        view((CameraSpec("top", height=480, width=640),), size=128),
    ]
    assert [each.cameras[0].height_width for each in sizes] == [(480, 640), (256, 256), (128, 128)]


def observe(shown: RobotView, steps: int):
    """Observe after so many control steps; joints and frames hold the number of their step."""
    past = [np.full(14, step, np.float32) for step in range(steps + 1)]
    drawn = []

    def draw(camera, height_width, ago):
        drawn.append(camera)
        return np.full((*height_width, 3), steps - ago, np.uint8)

    joints, seen = shown.observe(past, draw)
    return joints, seen, drawn


def test_the_past_is_that_of_the_policys_steps_and_begins_with_the_episode():
    camera = CameraSpec("top", steps=3, height=4, width=6, delta_indices=(-3, -1, 0))
    shown = view((camera,), steps=2, delta_indices=(-1, 0))
    assert shown.looks_back == 8
    joints, seen, _ = observe(shown, 20)
    assert joints[0] == 20
    # 7.5 and 2.5 control steps ago: the earlier frames; joints in between, as in conversion
    assert [int(frame[0, 0, 0]) for frame in seen.cameras["top"]] == [12, 17, 20]
    np.testing.assert_array_equal(seen.state["j"][:, 0], [17.5, 20])
    _, seen, _ = observe(shown, 1)
    assert [int(frame[0, 0, 0]) for frame in seen.cameras["top"]] == [0, 0, 1]
    np.testing.assert_array_equal(seen.state["j"][:, 0], [0, 1])


def test_only_what_is_wanted_is_drawn():
    _, seen, drawn = observe(view((CameraSpec("angle"), CameraSpec("top"))), 5)
    assert drawn == ["angle", "top"]
    assert (seen.task, seen.state["j"].shape) == ("move", (1, 14))


@pytest.mark.parametrize(
    ("steps", "deltas"), [(2, ()), (2, (-1,)), (1, (1,))], ids=["no times", "too few", "future"]
)
def test_moments_without_a_time_or_in_the_future_are_refused(steps, deltas):
    with pytest.raises(UnmetPrecondition, match="expected the time of each"):
        view((CameraSpec("top", steps=steps, delta_indices=deltas),))
