"""Layout of ALOHA's 14 joints among a policy's groups: GR1's, the policy's own, or as told."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from handover_proto import ALOHA_JOINTS, ALOHA_SLOTS, GR1_SLICES, PolicySpec, UnmetPrecondition

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
class JointLayout:
    """The joint of each value of each group, by which joints become groups and groups joints."""

    state: Groups
    action: Groups

    def state_groups(self, joints: np.ndarray) -> dict[str, np.ndarray]:
        """Convert joint positions to the policy's state: (steps, 14) -> {group: (steps, dim)}."""
        return _spread(joints, self.state)

    def action_groups(self, joints: np.ndarray) -> dict[str, np.ndarray]:
        """Convert joint targets to the policy's action: (T, 14) -> {group: (T, dim)}."""
        return _spread(joints, self.action)

    def targets(self, action: Mapping[str, np.ndarray]) -> np.ndarray:
        """Convert a chunk's groups to joint targets: {group: (T, dim)} -> (T, 14) float32.

        Raises ValueError for other groups or widths than the layout's.
        """
        return _join(action, self.action)

    def joints(self, state: Mapping[str, np.ndarray]) -> np.ndarray:
        """Convert a policy's state to joint positions, as `targets` does; 0 for what it lacks."""
        return _join(state, self.state)


def _gr1_groups() -> Groups:
    joint_of = {slot: joint for joint, slot in enumerate(ALOHA_SLOTS)}
    return {
        name: tuple(joint_of.get(slot, -1) for slot in range(part.start, part.stop))
        for name, part in GR1_SLICES.items()
    }


GR1_LAYOUT = JointLayout(_gr1_groups(), _gr1_groups())
"""The layout of checkpoints that `handover convert` and NVIDIA's GR1 configuration lead to."""


Told = Mapping[str, tuple[int, int]]  # {group: (first joint, the one after its last)}


def joint_layout(spec: PolicySpec, told: Told | None = None) -> JointLayout:
    """Find where a policy has ALOHA's joints. Raises UnmetPrecondition where that is not certain.

    told: for groups whose names do not say it
    """
    if spec.first_step:
        raise UnmetPrecondition(
            f"the policy's chunks begin {spec.first_step} steps after the observation: only those "
            "that begin with it are played in closed loop (action delta_indices 0, 1, 2 …)"
        )
    told = dict(told or {})
    stated = {part.unit for part in (*spec.state, *spec.action)}
    wrong = sorted(unit for unit in stated if unit.split(" ")[0] in _FOREIGN)
    if wrong:
        raise UnmetPrecondition(
            f"the server's policy has values in {', '.join(wrong)}; ALOHA's joints are in rad, its "
            "grippers from 0 to 1"
        )
    unknown = sorted(set(told) - {part.name for part in (*spec.state, *spec.action)})
    if unknown:
        raise UnmetPrecondition(
            f"--group {', '.join(unknown)}: the policy has the groups "
            f"{', '.join(sorted({part.name for part in (*spec.state, *spec.action)}))}"
        )
    state = _place({part.name: part.dim for part in spec.state}, told, "state")
    action = _place({part.name: part.dim for part in spec.action}, told, "action")
    return JointLayout(state, action)


def _place(dims: Mapping[str, int], told: Told, kind: str) -> Groups:
    if not told and dims == {name: len(values) for name, values in GR1_LAYOUT.state.items()}:
        return GR1_LAYOUT.state
    places = {name: _joints_of(name, dim, told, len(dims)) for name, dim in dims.items()}
    found = [joint for joints in places.values() for joint in joints]
    twice = sorted({joint for joint in found if found.count(joint) > 1})
    missing = sorted(set(_ALL) - set(found)) if kind == "action" else []
    unclear = [name for name, joints in places.items() if not joints]
    if not (unclear or twice or missing):
        return places
    reasons = [f"{name} {dims[name]}: which joints?" for name in unclear]
    if not unclear:
        reasons += [f"{ALOHA_JOINTS[joint]} is in two groups" for joint in twice]
        reasons += [f"{ALOHA_JOINTS[joint]} is in none" for joint in missing]
    raise UnmetPrecondition(
        f"the server's policy is not one for ALOHA as it stands: {kind} groups (name width) "
        f"{_words(dims)}; {'; '.join(reasons)}. Say "
        "which of the 14 joints a group holds: --group NAME=FIRST:END, as in modality.json, with "
        "0:6 left arm, 6:7 left gripper, 7:13 right arm, 13:14 right gripper; a policy of another "
        "robot is asked with PolicyClient.infer, in a loop of your own"
    )


def _joints_of(name: str, dim: int, told: Told, groups: int) -> tuple[int, ...]:
    """Return the joints of a group; empty where they are not known."""
    if name in told:
        first, end = told[name]
        if end - first != dim:
            raise UnmetPrecondition(
                f"--group {name}={first}:{end} are {end - first} joints, the group has {dim} values"
            )
        return _ALL[first:end]
    if groups == 1 and dim == len(_ALL):
        return _ALL
    return _KNOWN.get((name, dim), ())


def _spread(joints: np.ndarray, groups: Groups) -> dict[str, np.ndarray]:
    joints = np.asarray(joints, np.float32)
    padded = np.concatenate([joints, np.zeros((*joints.shape[:-1], 1), np.float32)], axis=-1)
    return {name: padded[..., list(values)] for name, values in groups.items()}  # -1: the zero


def _join(values: Mapping[str, np.ndarray], groups: Groups) -> np.ndarray:
    _check_groups(values, groups)
    steps = next(iter(values.values())).shape[:-1]
    joined = np.zeros((*steps, len(_ALL) + 1), np.float32)
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
