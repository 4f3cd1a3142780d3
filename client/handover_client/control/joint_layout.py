"""Layout of a robot's joints among a policy's groups: GR1's, the policy's own, or as told.

The robot is an ALOHA where nothing else is said; of another one only its own joints are known.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from handover_proto import (
    ALOHA_JOINTS,
    ALOHA_SLOTS,
    GR1_SLICES,
    GRIPPER_JOINTS,
    PolicySpec,
    UnmetPrecondition,
)

_ALL = tuple(range(len(ALOHA_JOINTS)))
# of groups that ALOHA's datasets have; a 7-wide arm holds its gripper too
_KNOWN: Mapping[tuple[str, int], tuple[int, ...]] = {
    ("left_arm", 6): _ALL[0:6],
    ("left_arm", 7): _ALL[0:7],
    ("left_gripper", 1): _ALL[6:7],
    ("left_hand", 1): _ALL[6:7],
    ("right_arm", 6): _ALL[7:13],
    ("right_arm", 7): _ALL[7:14],
    ("right_gripper", 1): _ALL[13:14],
    ("right_hand", 1): _ALL[13:14],
}
# units, or their first word, that joints in rad and grippers from 0 to 1 cannot be played in
_FOREIGN = ("deg", "degree", "degrees", "°", "m", "cm", "mm")

Groups = Mapping[str, tuple[int, ...]]  # the joint of each of a group's values; -1 is none, a 0


@dataclass(frozen=True)
class RobotJoints:
    """A robot's joints in its control loop's order; grippers, whose targets are never blended."""

    names: tuple[str, ...]
    grippers: tuple[int, ...] = ()

    @property
    def is_aloha(self) -> bool:
        """Whether they are an ALOHA's 14, whose places in known groups are known."""
        return self.names == ALOHA_JOINTS


ALOHA = RobotJoints(ALOHA_JOINTS, GRIPPER_JOINTS)


@dataclass(frozen=True)
class JointLayout:
    """The joint of each value of each group, by which joints become groups and groups joints.

    D is the number of the robot's joints, 14 of an ALOHA.
    """

    state: Groups
    action: Groups
    robot: RobotJoints = ALOHA

    def state_groups(self, joints: np.ndarray) -> dict[str, np.ndarray]:
        """Convert joint positions to the policy's state: (steps, D) -> {group: (steps, dim)}."""
        return _spread(joints, self.state)

    def action_groups(self, joints: np.ndarray) -> dict[str, np.ndarray]:
        """Convert joint targets to the policy's action: (T, D) -> {group: (T, dim)}."""
        return _spread(joints, self.action)

    def targets(self, action: Mapping[str, np.ndarray]) -> np.ndarray:
        """Convert a chunk's groups to joint targets: {group: (T, dim)} -> (T, D) float32.

        Raises ValueError for other groups or widths than the layout's.
        """
        return _join(action, self.action, len(self.robot.names))

    def joints(self, state: Mapping[str, np.ndarray]) -> np.ndarray:
        """Convert a policy's state to joint positions, as `targets` does; 0 for what it lacks."""
        return _join(state, self.state, len(self.robot.names))


def _gr1_groups() -> Groups:
    joint_of = {slot: joint for joint, slot in enumerate(ALOHA_SLOTS)}
    return {
        name: tuple(joint_of.get(slot, -1) for slot in range(part.start, part.stop))
        for name, part in GR1_SLICES.items()
    }


GR1_LAYOUT = JointLayout(_gr1_groups(), _gr1_groups())
"""The layout of checkpoints that `handover convert` and NVIDIA's GR1 configuration lead to."""


Told = Mapping[str, tuple[int, int]]  # {group: (first joint, the one after its last)}


def find_joint_layout(
    spec: PolicySpec, told: Told | None = None, robot: RobotJoints = ALOHA
) -> JointLayout:
    """Find where a policy has a robot's joints. Raises UnmetPrecondition where that is unsure.

    told: for groups whose names do not say it
    """
    if spec.first_step:
        raise UnmetPrecondition(
            f"the policy's chunks begin {spec.first_step} steps after the observation: only those "
            "that begin with it are played in closed loop (action delta_indices 0, 1, 2 …)"
        )
    told = dict(told or {})
    if robot.is_aloha:
        _check_units(spec)
    unknown = sorted(set(told) - {part.name for part in (*spec.state, *spec.action)})
    if unknown:
        raise UnmetPrecondition(
            f"--group {', '.join(unknown)}: the policy has the groups "
            f"{', '.join(sorted({part.name for part in (*spec.state, *spec.action)}))}"
        )
    state = _place({part.name: part.dim for part in spec.state}, told, "state", robot)
    action = _place({part.name: part.dim for part in spec.action}, told, "action", robot)
    return JointLayout(state, action, robot)


def _check_units(spec: PolicySpec) -> None:
    stated = {part.unit for part in (*spec.state, *spec.action)}
    wrong = sorted(unit for unit in stated if unit.split(" ")[0] in _FOREIGN)
    if wrong:
        raise UnmetPrecondition(
            f"the server's policy has values in {', '.join(wrong)}; ALOHA's joints are in rad, its "
            "grippers from 0 to 1"
        )


def _place(dims: Mapping[str, int], told: Told, kind: str, robot: RobotJoints) -> Groups:
    gr1 = {name: len(values) for name, values in GR1_LAYOUT.state.items()}
    if robot.is_aloha and not told and dims == gr1:
        return GR1_LAYOUT.state
    places = {name: _joints_of(name, dim, told, len(dims), robot) for name, dim in dims.items()}
    found = [joint for joints in places.values() for joint in joints]
    twice = sorted({joint for joint in found if found.count(joint) > 1})
    missing = sorted(set(range(len(robot.names))) - set(found)) if kind == "action" else []
    unclear = [name for name, joints in places.items() if not joints]
    if not (unclear or twice or missing):
        return places
    reasons = [f"{name} {dims[name]}: which joints?" for name in unclear]
    if not unclear:
        reasons += [f"{robot.names[joint]} is in two groups" for joint in twice]
        reasons += [f"{robot.names[joint]} is in none" for joint in missing]
    whose = "for ALOHA" if robot.is_aloha else "for this robot"
    raise UnmetPrecondition(
        f"the server's policy is not one {whose} as it stands: {kind} groups (name width) "
        f"{_words(dims)}; {'; '.join(reasons)}. Say which of the {len(robot.names)} joints a group "
        f"holds: --group NAME=FIRST:END, as in modality.json, with {_places(robot)}; a policy of "
        "another robot is asked with PolicyClient.infer, in a loop of your own"
    )


def _places(robot: RobotJoints) -> str:
    if robot.is_aloha:
        return "0:6 left arm, 6:7 left gripper, 7:13 right arm, 13:14 right gripper"
    return ", ".join(f"{place}:{place + 1} {name}" for place, name in enumerate(robot.names))


def _joints_of(name: str, dim: int, told: Told, groups: int, robot: RobotJoints) -> tuple[int, ...]:
    """Return the joints of a group; empty where they are not known."""
    if name in told:
        first, end = told[name]
        if end > len(robot.names):
            raise UnmetPrecondition(
                f"--group {name}={first}:{end}: the robot has {len(robot.names)} joints"
            )
        if end - first != dim:
            raise UnmetPrecondition(
                f"--group {name}={first}:{end} are {end - first} joints, the group has {dim} values"
            )
        return tuple(range(first, end))
    if groups == 1 and dim == len(robot.names):
        return tuple(range(dim))
    return _KNOWN.get((name, dim), ()) if robot.is_aloha else ()


def _spread(joints: np.ndarray, groups: Groups) -> dict[str, np.ndarray]:
    joints = np.asarray(joints, np.float32)
    padded = np.concatenate([joints, np.zeros((*joints.shape[:-1], 1), np.float32)], axis=-1)
    return {name: padded[..., list(values)] for name, values in groups.items()}  # -1: the zero


def _join(values: Mapping[str, np.ndarray], groups: Groups, width: int) -> np.ndarray:
    _check_groups(values, groups)
    steps = next(iter(values.values())).shape[:-1]
    joined = np.zeros((*steps, width + 1), np.float32)
    for name, joints in groups.items():
        joined[..., list(joints)] = values[name]
    return joined[..., :-1]


def _check_groups(values: Mapping[str, np.ndarray], groups: Groups) -> None:
    expected = {name: len(joints) for name, joints in groups.items()}
    got = {name: np.shape(array)[-1] for name, array in values.items()}
    if got != expected:
        raise ValueError(f"expected the groups {_words(expected)}; got {_words(got)}")


def _words(groups: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {dim}" for name, dim in groups.items())
