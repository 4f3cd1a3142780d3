"""A batch of LeRobot's robots under a served policy, and what is asked for before they move.

LeRobot itself is not installed here: tests/lerobot runs its own commands with the policy.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from handover_client import PolicyClient
from handover_common import UsageError
from handover_proto import ActionSpec, CameraSpec, PolicyOutput, PolicySpec, StateSpec
from handover_server.policies.hold import ALOHA_HOLD, HoldPolicy

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "client/lerobot_policy_handover"))

from lerobot_policy_handover.batch import ServedBatch  # noqa: E402
from lerobot_policy_handover.settings import ServerSettings, instruction  # noqa: E402

TASK = "Pick up the cube."
ALOHA = ServerSettings(
    "", 50.0, "simulated", TASK, cameras={"ego_view": "top"}, joints=("aloha",), seed=7
)
FRAMES = {"top": np.zeros((2, 48, 64, 3), np.uint8)}
ARM = PolicySpec(
    "arm",
    (CameraSpec("front", height=32, width=32),),
    (StateSpec("arm", 2, unit="rad"), StateSpec("gripper", 1, unit="1 (0 closed, 1 open)")),
    (ActionSpec("arm", 2, unit="rad"), ActionSpec("gripper", 1)),
    horizon=16,
    rate_hz=10.0,
    supports_seed=True,
)


class Policy(HoldPolicy):
    """Remembers what it is asked, and wants every state plus a step."""

    def __init__(self, spec=ALOHA_HOLD):
        super().__init__(replace(spec, max_batch=4, supports_seed=True))
        self.asked = []

    def infer(self, requests):
        self.asked += requests
        return [
            PolicyOutput(
                {
                    group.name: np.repeat(request.observation.state[group.name], 16, 0) + 0.1
                    for group in self.spec.action
                }
            )
            for request in requests
        ]


@pytest.fixture
def served(serve_policy):
    """A batch at a server with a policy, and the policy."""

    def make(settings, spec=ALOHA_HOLD):
        policy = Policy(spec)
        address = serve_policy(policy).address
        client = PolicyClient.connect(address, timeout_s=30)
        return ServedBatch(client, replace(settings, server=address)), policy

    return make


def test_every_robot_of_a_batch_has_chunks_of_its_own_and_a_seed_of_its_own(served):
    batch, policy = served(ALOHA)
    joints = np.stack([np.full(14, 0.2), np.full(14, 0.5)]).astype(np.float32)
    for _ in range(3):
        targets = batch.act(joints, FRAMES, ["", ""])
    np.testing.assert_allclose(targets, joints + 0.1, atol=1e-6)
    assert targets.dtype == np.float32
    assert len(policy.asked) == 2  # one chunk each, which is played for 20 steps
    assert len({request.seed for request in policy.asked}) == 2
    assert {request.observation.task for request in policy.asked} == {TASK}
    first = {request.seed for request in policy.asked}
    batch.reset()
    batch.act(joints, FRAMES, ["", ""])
    assert not first & {request.seed for request in policy.asked[2:]}  # episodes 2 and 3
    again, same = served(ALOHA)
    again.act(joints, FRAMES, ["", ""])
    assert {request.seed for request in same.asked} == first


def test_in_simulated_time_a_chunk_is_asked_for_when_its_steps_are_played(served):
    batch, policy = served(replace(ALOHA, execute_steps=4))
    one = {"top": FRAMES["top"][:1]}
    for _ in range(41):  # 0.82 s at 50 Hz: every 4 steps of 20 Hz are 10 control steps
        batch.act(np.zeros((1, 14), np.float32), one, [""])
    assert len(policy.asked) == 5


def test_on_the_wall_clock_the_robot_holds_until_the_first_chunk_and_never_waits(served):
    batch, policy = served(replace(ALOHA, clock="wall"))
    joints = np.full((1, 14), 0.3, np.float32)
    one = {"top": FRAMES["top"][:1]}
    np.testing.assert_allclose(batch.act(joints, one, [""]), joints)
    for _ in range(10_000):
        targets = batch.act(joints, one, [""])
        if targets[0, 0] > 0.35:
            break
    np.testing.assert_allclose(targets, joints + 0.1, atol=1e-6)
    assert policy.asked


def test_another_robots_units_are_converted_and_its_groups_are_as_told(served):
    settings = replace(
        ALOHA,
        cameras={},
        joints=("gripper", "pan", "lift"),
        units=("0 … 100", "deg", "deg"),
        grippers=("gripper",),
        groups={"arm": (1, 3), "gripper": (0, 1)},
    )
    batch, policy = served(settings, ARM)
    joints = np.array([[40.0, 90.0, 0.0]], np.float32)
    targets = batch.act(joints, {"front": np.zeros((1, 48, 64, 3), np.uint8)}, [""])
    state = policy.asked[0].observation.state
    np.testing.assert_allclose(state["arm"], [[np.pi / 2, 0.0]], atol=1e-6)
    np.testing.assert_allclose(state["gripper"], [[0.4]], atol=1e-6)
    expected = [[50.0, 90 + np.degrees(0.1), np.degrees(0.1)]]
    np.testing.assert_allclose(targets, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"control_rate_hz": 0.0}, "--policy.control_rate_hz=HZ"),
        ({"clock": ""}, "--policy.clock=wall for a robot"),
        ({"joints": ()}, "LeRobot hands on numbers without their names"),
        ({"joints": ("pan", "lift")}, "one for each of pan, lift; got 0"),
        ({"grippers": ("hand",)}, "--policy.grippers: hand"),
        ({"cameras": {"wrist": "top"}}, "the policy has no wrist; it has ego_view"),
    ],
)
def test_what_lerobot_does_not_tell_is_asked_for(served, change, said):
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        served(replace(ALOHA, **change))


def test_a_camera_or_a_state_that_is_not_there_is_said(served):
    batch, _ = served(replace(ALOHA, cameras={}))
    with pytest.raises(UsageError, match=r"LeRobot has top: --policy.cameras='\{ego_view:"):
        batch.act(np.zeros((2, 14), np.float32), FRAMES, ["", ""])
    with pytest.raises(UsageError, match=r"expected \(batch, 14\)"):
        batch.act(np.zeros((2, 6), np.float32), FRAMES, ["", ""])


@pytest.mark.parametrize("units", [("deg", "-100 … 100", "0 … 100"), ("deg", "turns", "0 … 100")])
def test_units_that_the_policy_does_not_have_are_refused(served, units):
    settings = replace(
        ALOHA,
        cameras={},
        joints=("pan", "lift", "gripper"),
        units=units,
        groups={"arm": (0, 2), "gripper": (2, 3)},
    )
    with pytest.raises(UsageError, match=r"group arm is in 'rad'|lift: LeRobot does not say"):
        served(settings, ARM)


@pytest.mark.parametrize("handed", ["", "transfer_cube", "  "])
def test_a_name_or_nothing_is_no_instruction(handed):
    settings = replace(ALOHA, task="")
    with pytest.raises(UsageError, match=r"no instruction: --policy\.task"):
        instruction(settings, handed)
    assert instruction(settings, "Wave at me.") == "Wave at me."
    assert instruction(ALOHA, handed) == TASK
