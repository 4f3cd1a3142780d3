"""ALOHA's 14 joints and the 29 slots: there and back without loss."""

import numpy as np
import pytest
from handover_proto.embodiment import (
    ALOHA_JOINTS,
    ALOHA_SLOTS,
    ARM_JOINTS,
    GR1_DIMS,
    GR1_SLICES,
    GR1_WIDTH,
    GRIPPER_JOINTS,
    RELATIVE_GROUPS,
    aloha_state_groups,
    aloha_targets,
    join_groups,
    narrow,
    split_groups,
    widen,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

finite = st.floats(-1e6, 1e6, width=32)
leading = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
joint_arrays = leading.flatmap(lambda s: hnp.arrays(np.float32, (*s, 14), elements=finite))
slot_arrays = leading.flatmap(lambda s: hnp.arrays(np.float32, (*s, 29), elements=finite))


@given(joint_arrays)
def test_narrow_undoes_widen(joints):
    np.testing.assert_array_equal(narrow(widen(joints)), joints)


@given(slot_arrays)
def test_widen_undoes_narrow_up_to_the_slots_without_a_joint(slots):
    kept = np.zeros(29, bool)
    kept[list(ALOHA_SLOTS)] = True
    np.testing.assert_array_equal(widen(narrow(slots)), np.where(kept, slots, 0))


@given(slot_arrays)
def test_join_undoes_split(slots):
    np.testing.assert_array_equal(join_groups(split_groups(slots)), slots)


@given(hnp.arrays(np.float32, 14, elements=finite))
def test_a_state_that_is_held_is_the_targets_again(joints):
    chunk = {name: np.repeat(v, 16, axis=0) for name, v in aloha_state_groups(joints).items()}
    np.testing.assert_array_equal(aloha_targets(chunk), np.tile(joints, (16, 1)))


def test_each_joint_has_the_slot_that_the_architecture_says():
    slots = widen(np.arange(1, 15, dtype=np.float32))
    np.testing.assert_array_equal(slots[0:7], [1, 2, 3, 4, 5, 6, 0])  # left_arm
    np.testing.assert_array_equal(slots[7:13], [7, 0, 0, 0, 0, 0])  # left_hand
    np.testing.assert_array_equal(slots[13:20], [8, 9, 10, 11, 12, 13, 0])  # right_arm
    np.testing.assert_array_equal(slots[20:26], [14, 0, 0, 0, 0, 0])  # right_hand
    np.testing.assert_array_equal(slots[26:29], 0)  # waist
    assert list(GR1_DIMS) == ["left_arm", "left_hand", "right_arm", "right_hand", "waist"]


def test_the_slices_cover_the_slots_once_and_in_order():
    assert np.concatenate([np.arange(29)[part] for part in GR1_SLICES.values()]).tolist() == list(
        range(GR1_WIDTH)
    )


def test_grippers_and_arms_are_all_the_joints():
    assert sorted((*GRIPPER_JOINTS, *ARM_JOINTS)) == list(range(len(ALOHA_JOINTS)))
    assert [ALOHA_JOINTS[joint] for joint in GRIPPER_JOINTS] == ["left_gripper", "right_gripper"]
    assert set(RELATIVE_GROUPS) == {"left_arm", "right_arm"}


def test_float64_and_lists_are_taken_as_float32():
    assert widen([0.1] * 14).dtype == np.float32
    assert narrow(np.zeros(29)).dtype == np.float32


@pytest.mark.parametrize(("turn", "width"), [(widen, 13), (narrow, 14), (split_groups, 30)])
def test_another_width_is_refused_with_the_names_expected(turn, width):
    with pytest.raises(ValueError, match=r"the last axis should hold .*\("):
        turn(np.zeros((2, width)))
    with pytest.raises(ValueError, match="the last axis should hold"):
        turn(np.float32(1))


def test_a_group_that_is_missing_or_wide_is_named():
    groups = split_groups(np.zeros((3, 29), np.float32))
    with pytest.raises(ValueError, match=r"expected the groups .* got left_hand"):
        join_groups({name: groups[name] for name in groups if name != "left_arm"})
    with pytest.raises(ValueError, match="left_arm"):
        join_groups(groups | {"left_arm": np.zeros((3, 6), np.float32)})
