"""Which values are judged together."""

import numpy as np
import pytest
from handover_client.replay.action_groups import ActionColumns, parts_of
from handover_proto.embodiment import ALOHA_JOINTS, GR1_DIMS, narrow, widen


def aloha_actions(rows=3):
    return widen(np.arange(rows * 14, dtype=np.float32).reshape(rows, 14) + 1)


def test_alohas_joints_are_what_narrow_takes_out():
    actions = aloha_actions()
    parts = {part.key: part for part in parts_of(ActionColumns(GR1_DIMS), actions)}
    assert list(parts) == ["joints_14", "slots_29", "arms_12", "grippers_2"]
    np.testing.assert_array_equal(actions[:, parts["joints_14"].columns], narrow(actions))
    assert parts["joints_14"].names == ALOHA_JOINTS
    assert parts["slots_29"].columns == tuple(range(29))
    assert parts["grippers_2"].names == ("left_gripper", "right_gripper")
    arms, grippers = set(parts["arms_12"].columns), set(parts["grippers_2"].columns)
    assert arms | grippers == set(parts["joints_14"].columns)
    assert not arms & grippers


def test_a_gr1_that_moves_its_waist_is_not_an_aloha():
    actions = aloha_actions()
    actions[1, 28] = 0.1
    keys = [part.key for part in parts_of(ActionColumns(GR1_DIMS), actions)]
    assert keys == ["all", *GR1_DIMS]


@pytest.mark.parametrize("dims", [{"arm": 6, "gripper": 1}, {**GR1_DIMS, "neck": 2}])
def test_another_embodiment_is_judged_by_its_own_groups(dims):
    layout = ActionColumns(dims)
    parts = parts_of(layout, np.zeros((2, layout.width), np.float32))
    assert [part.key for part in parts] == ["all", *dims]
    assert [len(part.columns) for part in parts] == [layout.width, *dims.values()]
    assert sum((part.columns for part in parts[1:]), ()) == parts[0].columns


def test_a_layout_joins_groups_in_the_policys_order():
    layout = ActionColumns({"b": 2, "a": 1})
    joined = layout.join({"a": np.array([[3.0]]), "b": np.array([[1.0, 2.0]])})
    np.testing.assert_array_equal(joined, np.array([[1, 2, 3]], np.float32))
    assert layout.column_names() == ("b[0]", "b[1]", "a[0]")


def test_a_values_unit_is_what_the_server_states_and_else_nothing():
    layout = ActionColumns({"arm": 2, "grip": 1}, {"arm": "rad", "grip": ""})
    whole, arm, grip = parts_of(layout, np.zeros((1, 3), np.float32))
    assert (whole.units, arm.units, grip.units) == (("rad", "rad", ""), ("rad", "rad"), ("",))
    assert parts_of(ActionColumns(GR1_DIMS), aloha_actions())[0].units == ("",) * 14
