"""Where a policy has ALOHA's joints: by its groups' names or by what is told, never by a guess."""

from dataclasses import replace

import numpy as np
import pytest
from handover_client.control.joint_layout import GR1_LAYOUT, RobotJoints, find_joint_layout
from handover_proto.embodiment import GR1_DIMS, aloha_state_groups, aloha_targets, widen
from handover_proto.errors import UnmetPrecondition
from handover_proto.types import ActionSpec, PolicySpec, StateSpec

JOINTS = np.arange(14, dtype=np.float32) + 1


def spec_of(state: dict[str, int], action: dict[str, int], unit: str = "") -> PolicySpec:
    return PolicySpec(
        "test",
        (),
        tuple(StateSpec(name, dim, unit=unit) for name, dim in state.items()),
        tuple(ActionSpec(name, dim) for name, dim in action.items()),
        16,
    )


def both(groups: dict[str, int], unit: str = "") -> PolicySpec:
    return spec_of(groups, groups, unit)


def test_gr1s_groups_are_those_of_the_embodiment_map():
    layout = find_joint_layout(both(GR1_DIMS))
    assert layout == GR1_LAYOUT
    expected = aloha_state_groups(JOINTS)
    for name, values in layout.state_groups(JOINTS[None]).items():
        np.testing.assert_array_equal(values, expected[name])
    chunk = np.random.default_rng(0).normal(size=(16, 14)).astype(np.float32)
    groups = layout.action_groups(chunk)
    np.testing.assert_array_equal(np.concatenate(list(groups.values()), 1), widen(chunk))
    np.testing.assert_array_equal(layout.targets(groups), aloha_targets(groups))


@pytest.mark.parametrize(
    "groups",
    [
        {"left_arm": 6, "left_gripper": 1, "right_arm": 6, "right_gripper": 1},
        {"right_arm": 7, "left_arm": 7},
        {"joints": 14},
    ],
)
def test_names_that_say_it_are_enough(groups):
    layout = find_joint_layout(both(groups))
    spread = layout.state_groups(JOINTS[None])
    assert {name: values.shape for name, values in spread.items()} == {
        name: (1, dim) for name, dim in groups.items()
    }
    np.testing.assert_array_equal(layout.joints(spread)[0], JOINTS)
    if "right_arm" in groups:
        np.testing.assert_array_equal(spread["right_arm"][0, :6], [8, 9, 10, 11, 12, 13])


def test_what_is_told_wins():
    layout = find_joint_layout(both({"a": 7, "b": 7}), {"a": (7, 14), "b": (0, 7)})
    np.testing.assert_array_equal(layout.state_groups(JOINTS[None])["a"], [JOINTS[7:]])


def test_a_state_may_lack_joints_but_an_action_may_not():
    arms = {"left_arm": 6, "right_arm": 6}
    whole = {"left_arm": 7, "right_arm": 7}
    layout = find_joint_layout(spec_of(arms, whole))
    assert set(layout.state_groups(JOINTS[None])) == set(arms)
    with pytest.raises(UnmetPrecondition, match="left_gripper is in none"):
        find_joint_layout(both(arms))


@pytest.mark.parametrize(
    ("groups", "told", "words"),
    [
        ({"one": 7, "other": 7}, {}, "one 7: which joints"),
        ({"left_arm": 7, "left_hand": 1, "right_arm": 7}, {}, "left_gripper is in two groups"),
        ({"one": 7, "other": 7}, {"one": (0, 6)}, "are 6 joints, the group has 7"),
        ({"joints": 14}, {"arms": (0, 6)}, "--group arms: the policy has the groups joints"),
        ({"joints": 16}, {}, "joints 16: which joints"),
    ],
)
def test_what_is_not_certain_is_asked_for(groups, told, words):
    with pytest.raises(UnmetPrecondition, match=words):
        find_joint_layout(both(groups), told)


@pytest.mark.parametrize(
    ("unit", "fits"), [("rad", True), ("0 closed … 1 open", True), ("deg", False)]
)
def test_other_units_than_the_joints_are_refused(unit, fits):
    if fits:
        find_joint_layout(both({"joints": 14}, unit))
    else:
        with pytest.raises(UnmetPrecondition, match="values in deg"):
            find_joint_layout(both({"joints": 14}, unit))


def test_a_chunk_of_other_groups_is_an_error():
    layout = find_joint_layout(both({"joints": 14}))
    with pytest.raises(ValueError, match="expected the groups joints 14; got joints 13"):
        layout.targets({"joints": np.zeros((16, 13), np.float32)})


def test_chunks_that_begin_after_the_observation_are_not_played_as_if_they_did_not():
    late = replace(both(GR1_DIMS), first_step=1)
    with pytest.raises(UnmetPrecondition, match="begin 1 steps after the observation"):
        find_joint_layout(late)


SO101 = RobotJoints(("pan", "lift", "elbow", "flex", "roll", "gripper"), (5,))


def test_another_robots_joints_are_placed_as_told_or_where_one_group_holds_them_all():
    told = {"arm": (0, 5), "gripper": (5, 6)}
    layout = find_joint_layout(both({"gripper": 1, "arm": 5}, "deg"), told, SO101)
    groups = layout.state_groups(np.arange(6.0)[None])
    np.testing.assert_array_equal(groups["arm"], [[0, 1, 2, 3, 4]])
    np.testing.assert_array_equal(groups["gripper"], [[5]])
    chunk = np.random.default_rng(0).normal(size=(16, 6)).astype(np.float32)
    np.testing.assert_array_equal(layout.targets(layout.action_groups(chunk)), chunk)
    whole = find_joint_layout(both({"joints": 6}), None, SO101)
    np.testing.assert_array_equal(whole.targets({"joints": chunk}), chunk)


@pytest.mark.parametrize(
    ("groups", "told", "words"),
    [
        ({"arm": 5, "gripper": 1}, {}, "arm 5: which joints.*0:1 pan, 1:2 lift"),
        ({"left_arm": 6}, {"left_arm": (0, 7)}, "the robot has 6 joints"),
        ({"arm": 5}, {"arm": (0, 5)}, "gripper is in none"),
    ],
)
def test_nothing_is_known_of_another_robots_groups(groups, told, words):
    with pytest.raises(UnmetPrecondition, match=words):
        find_joint_layout(both(groups), told, SO101)
