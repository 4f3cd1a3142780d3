"""A robot's description: what each key means, and what is told of what it does not say."""

import json
from fractions import Fraction

import numpy as np
import pytest
from handover_conversion.errors import DatasetError
from handover_conversion.features import Feature
from handover_conversion.recordings import SourceInfo
from handover_conversion.resampling.grid import make_grid
from handover_conversion.robot.choose import choose_robot
from handover_conversion.robot.columns import Recorded
from handover_conversion.robot.look import dropped, settle
from handover_proto import ALOHA_SLOTS, widen

JOINTS = [f"j{i}" for i in range(6)]


def _features(state=6, action=6, **others):
    return {
        "observation.state": Feature("float32", (state,), {"motors": tuple(JOINTS[:state])}),
        "action": Feature("float32", (action,), {}),
        **others,
    }


def _choose(tmp_path, described, features=None, suffix="json", modality=None):
    features = features or _features()
    source = SourceInfo(tmp_path, "v2.1", 50.0, "some", features, modality=modality)
    name = described
    if isinstance(described, dict):
        name = str(tmp_path / f"robot.{suffix}")
        (tmp_path / f"robot.{suffix}").write_text(json.dumps(described))
    return choose_robot(name, source, Recorded(features))


def _one_to_one(side, columns):
    steps = len(next(iter(columns.values())))
    return side.resample(columns, make_grid(steps, Fraction(50), Fraction(50)))


def test_units_scales_and_ranges_are_converted(tmp_path):
    robot = _choose(
        tmp_path,
        {
            "name": "arm",
            "state": {
                "arm": {"columns": ["0-2"], "unit": "deg"},
                "lift": {"columns": [3], "unit": "mm"},
                "gripper": {"columns": ["j5"], "range": [0.08, 0.0]},
                "rest": {"columns": [4], "scale": -2},
            },
            "action": {"arm": {"columns": [0, 1, 2], "unit": "deg", "relative": True}},
        },
    )
    recorded = np.array([[180, -90, 45, 250, 3, 0.08], [0, 0, 0, 0, 0, 0.02]], np.float32)
    rows = _one_to_one(robot.state, {"observation.state": recorded})
    expected = [[np.pi, -np.pi / 2, np.pi / 4, 0.25, 0, -6], [0, 0, 0, 0, 0.75, 0]]
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    assert robot.state.units == {"arm": "rad", "lift": "m", "gripper": "1 (0 closed, 1 open)"}
    assert robot.relative_groups == ("arm",)
    assert dropped(robot, _features(), ()) == ["action 3, 4, 5"]


def test_a_group_may_have_columns_of_several_recorded_columns(tmp_path):
    features = _features(
        **{
            "observation.eef": Feature("float64", (7,), {}),
            "observation.force": Feature("float32", (1,), {}),
        }
    )
    pose = {
        "columns": [
            {"from": "observation.eef", "columns": [0, 1, 2], "unit": "m"},
            {"from": "observation.eef", "columns": [3, 4, 5, 6], "time": "quaternion"},
            {"from": "observation.force"},
        ]
    }
    robot = _choose(tmp_path, {"state": {"pose": pose}, "action": {"arm": ["0-5"]}}, features)
    (group,) = robot.state.groups
    assert [(p.column, len(p.indices), p.time) for p in group.pieces] == [
        ("observation.eef", 3, "linear"),
        ("observation.eef", 4, "quaternion"),
        ("observation.force", 1, "linear"),
    ]
    assert (group.width, group.unit) == (8, None)  # of several units none is the group's


def test_yaml_says_the_same_as_json(tmp_path):
    (tmp_path / "robot.yaml").write_text(
        "state:\n  arm: {columns: [0-5], unit: rad}\naction:\n  arm: [0, 1, 2]\n"
    )
    robot = _choose(tmp_path, str(tmp_path / "robot.yaml"))
    assert robot.state.units == {"arm": "rad"}
    assert robot.action.width == 3


WRONG = [
    ({"state": {"arm": [0]}}, "action: expected groups by name"),
    ({"state": {"arm": [9]}, "action": {"arm": [0]}}, "state.arm: no column 9 in observation"),
    ({"state": {"arm": ["j9"]}, "action": {"arm": [0]}}, "no column 'j9' .*'j0', 'j1'"),
    ({"state": {"arm": {"colums": [0]}}, "action": {"arm": [0]}}, "colums is not known; expected"),
    (
        {"state": {"arm": {"from": "x", "columns": [0]}}, "action": {"arm": [0]}},
        "no column 'x' of numbers; it has: observation.state, action",
    ),
    (
        {"state": {"a": {"columns": [0, 1, 2], "time": "quaternion"}}, "action": {"a": [0]}},
        "quaternion takes 4 columns, or so many times more, got 3",
    ),
    (
        {"state": {"a": [0]}, "action": {"a": {"columns": [0], "time": "angle", "relative": True}}},
        "the policy takes plain differences",
    ),
    (
        {"state": {"a": [0, 1]}, "action": {"a": {"columns": [0], "relative": True}}},
        "relative to the state's group of that name: expected one of width 1",
    ),
    (
        {"state": {"a": {"columns": [0], "range": [1, 1]}}, "action": {"a": [0]}},
        r"\[closed, open\]",
    ),
    (
        {"state": {"a": {"columns": [0], "time": "cubic"}}, "action": {"a": [0]}},
        "expected time lin",
    ),
    ({"groups": {"a": [0]}, "relative": ["b"]}, "relative names"),
]


@pytest.mark.parametrize(("described", "message"), WRONG)
def test_a_wrong_description_is_one_line(tmp_path, described, message):
    with pytest.raises(DatasetError, match=message) as raised:
        _choose(tmp_path, described)
    assert "\n" not in str(raised.value)
    assert "robot.json" in str(raised.value)


def test_aloha_is_the_29_slots(tmp_path):
    robot = _choose(tmp_path, "aloha", _features(14, 14))
    recorded = np.random.default_rng(0).standard_normal((20, 14)).astype(np.float32)
    rows = _one_to_one(robot.state, {"observation.state": recorded})
    np.testing.assert_array_equal(rows, widen(recorded))
    assert set(ALOHA_SLOTS) == set(np.flatnonzero(rows.any(axis=0)))
    assert robot.relative_groups == ("left_arm", "right_arm")
    assert robot.units["left_hand"] == "1 (0 closed, 1 open)"


def test_mobile_aloha_has_its_base_in_the_action_alone(tmp_path):
    robot = _choose(tmp_path, "aloha_mobile", _features(14, 16))
    assert (robot.state.width, robot.action.width) == (14, 16)
    recorded = np.arange(16, dtype=np.float32)[None]
    rows = _one_to_one(robot.action, {"action": recorded})
    assert rows[0, robot.action.slices["base"]].tolist() == [14, 15]
    with pytest.raises(DatasetError, match=r"action is 14 wide, embodiment 'aloha_mobile' expects"):
        _choose(tmp_path, "aloha_mobile", _features(14, 14))


def test_so101_has_a_gripper_of_0_to_1_and_states_no_unit_of_its_joints(tmp_path):
    robot = _choose(tmp_path, "so101")
    rows = _one_to_one(robot.state, {"observation.state": np.full((1, 6), 50, np.float32)})
    assert rows.tolist() == [[50, 50, 50, 50, 50, 0.5]]
    assert robot.units == {"gripper": "1 (0 closed, 1 open)"}


def test_the_former_map_fits_states_and_actions_of_other_widths(tmp_path):
    described = {"groups": {"arm": [0, 1], "base": [6, 7]}, "relative": ["arm"], "nearest": [1]}
    robot = _choose(tmp_path, described, _features(6, 8))
    assert [group.name for group in robot.state.groups] == ["arm"]
    assert [group.name for group in robot.action.groups] == ["arm", "base"]
    assert [piece.time for piece in robot.action.groups[0].pieces] == ["linear", "nearest"]
    assert [piece.time for piece in robot.state.groups[0].pieces] == ["linear"]
    assert robot.notes == ("base is a group of actions alone: the state lacks it",)


def test_modality_json_is_the_default_description(tmp_path):
    features = _features(**{"observation.eef": Feature("float32", (7,), {})})
    modality = {
        "state": {
            "arm": {"start": 0, "end": 5},
            "hand": {"start": 0, "end": 4, "original_key": "observation.eef"},
            "tool": {
                "start": 0,
                "end": 4,
                "original_key": "observation.eef",
                "rotation_type": "quaternion",
            },
        },
        "action": {"arm": {"start": 0, "end": 6, "absolute": False}},
        "video": {"front": {"original_key": "observation.images.front_cam"}, "wrist": {}},
    }
    robot = _choose(tmp_path, None, features, modality=modality)
    assert robot.state.slices == {"arm": slice(0, 5), "hand": slice(5, 9), "tool": slice(9, 13)}
    assert [group.pieces[0].time for group in robot.state.groups] == ["linear"] * 2 + ["quaternion"]
    assert [(c.name, c.key) for c in robot.cameras] == [
        ("front", "observation.images.front_cam"),
        ("wrist", "observation.images.wrist"),
    ]
    assert robot.notes == ("action.arm holds differences: they are resampled as they stand",)
    modality["state"]["arm"]["end"] = 9
    with pytest.raises(DatasetError, match=r"state.arm: no column '0-8' in observation.state"):
        _choose(tmp_path, None, features, modality=modality)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["state", "action"], "state"),
        (["observations/qpos", "actions"], "observations/qpos"),
        (["robot.state", "env.state", "action"], None),
        (["pose", "action"], None),
    ],
)
def test_the_state_is_found_when_only_one_column_is_like_it(names, found):
    recorded = Recorded({name: Feature("float32", (6,), {}) for name in names})
    if found is not None:
        assert recorded.column("state") == found
        return
    with pytest.raises(DatasetError, match=r"--state-column says which .*: ") as raised:
        recorded.column("state")
    assert all(name in str(raised.value) for name in names if "state" in name or name == "pose")


def _turning(steps=80):
    angle = np.linspace(0, 3, steps)
    quaternion = np.stack([np.cos(angle), np.sin(angle), 0 * angle, 0 * angle], axis=1)
    return quaternion * np.where(np.arange(steps) % 7 == 0, -1, 1)[:, None]


def test_identity_resamples_what_is_a_quaternion_as_one_and_says_so(tmp_path):
    columns = {
        "observation.state": np.concatenate([np.ones((80, 1)), _turning(), np.ones((80, 1))], 1)
    }
    columns["action"] = np.zeros((80, 6))
    robot = settle(_choose(tmp_path, "identity"), columns, decide=True)
    assert [(p.indices, p.time) for p in robot.state.groups[0].pieces] == [
        ((0,), "linear"),
        ((1, 2, 3, 4), "quaternion"),
        ((5,), "linear"),
    ]
    assert "state.motors: observation.state[1,2,3,4] is resampled as a quaternion" in robot.notes
    rows = robot.state.resample(columns, make_grid(80, Fraction(50), Fraction(20)))
    np.testing.assert_allclose(np.linalg.norm(rows[:, 1:5], axis=1), 1, atol=1e-6)


def test_what_looks_otherwise_than_described_is_told(tmp_path):
    state = np.concatenate([_turning(), np.zeros((80, 2))], axis=1)
    state[:, 4] = np.linspace(0, 9, 80) % (2 * np.pi)
    state[:, 5] = np.linspace(0, 0.04, 80)
    described = {
        "state": {
            "hand": {"columns": ["0-3"]},
            "wrist": {"columns": [4], "unit": "rad"},
            "gripper": {"columns": [5], "range": [0, 1]},
        },
        "action": {"arm": {"columns": ["0-5"], "unit": "rad"}},
    }
    columns = {"observation.state": state, "action": np.full((80, 6), 90.0)}
    settled = settle(_choose(tmp_path, described), columns, decide=False)
    assert settled.units == {"wrist": "rad"}  # the others' units cannot be, so none is announced
    told = "\n".join(settled.notes)
    assert "state.hand: observation.state[0,1,2,3] looks like a quaternion" in told
    assert "state.wrist: observation.state[4] leaps by" in told
    assert "state.gripper: observation.state[5] goes from 0 to 0.04" in told
    assert "action.arm: action[0,1,2,3,4,5] reaches 90 and is described in rad (degrees?)" in told
