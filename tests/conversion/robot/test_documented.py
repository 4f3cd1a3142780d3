"""The descriptions in docs/conversion.md are read, and mean what the page says."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from handover_conversion.features import Feature
from handover_conversion.robot.columns import Recorded
from handover_conversion.robot.parse import parse_robot

PAGE = Path(__file__).parents[3] / "docs/conversion.md"
BLOCK = re.compile(
    r"<!-- run: tests/conversion/robot/test_documented.py -->\n```json\n(.*?)```", re.S
)


@pytest.fixture(scope="module")
def described():
    """The page's descriptions, by their names."""
    found = [json.loads(text) for text in BLOCK.findall(PAGE.read_text(encoding="utf-8"))]
    return {one["name"]: one for one in found}


def test_the_franka(described):
    joints = (*(f"joint_{i}" for i in range(7)), "gripper")
    features = {
        "observation.state": Feature("float32", (8,), {"motors": joints}),
        "observation.cartesian": Feature("float64", (7,), {}),
        "action": Feature("float32", (8,), {}),
    }
    robot = parse_robot(described.pop("franka"), Recorded(features), "page")
    assert [(c.name, c.image_size) for c in robot.cameras] == [("ego_view", None), ("wrist", 224)]
    assert {name: part.stop - part.start for name, part in robot.state.slices.items()} == {
        "arm": 7,
        "position": 3,
        "rotation": 4,
        "gripper": 1,
    }
    assert robot.relative_groups == ("arm",)
    gripper = robot.action.groups[1].pieces[0]
    assert gripper.converted({"action": np.full((1, 8), 0.04)}).tolist() == [[0.5]]


def test_the_so101_in_degrees(described):
    features = {name: Feature("float32", (6,), {}) for name in ("observation.state", "action")}
    robot = parse_robot(described["so101_deg"], Recorded(features), "page")
    assert robot.units["single_arm"] == "rad"
    arm = robot.state.groups[0].pieces[0].converted({"observation.state": np.full((1, 6), 180.0)})
    np.testing.assert_allclose(arm, np.pi)
