"""Settings of `--robot lerobot`: LeRobot's own config of the robot, and what LeRobot does not say.

    {"robot": "so101.yaml",         LeRobot's own config file, or the same as an object; its `type`
                                    names the robot
     "control_rate_hz": 30,
     "limits": {"low": {"shoulder_pan": -1.9, …}, "high": {…},    joint by joint, or one for all
                "velocity": 1.0, "acceleration": 10.0, "lead": 0.3},
     "start": {"shoulder_pan": 0.0, …},  or "here": where it is when it is connected
     "units": {"gripper": "0 … 100"},    of joints whose motors do not state theirs
     "joints": ["shoulder_pan", …],      another order; or {our name: LeRobot's}
     "pictures_have_noise": false}       for simulated cameras

LeRobot's degrees become rad and its 0 … 100 becomes 0 … 1, as in `handover convert`; limits and
start are in these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from handover_common import UsageError

from handover_client.drive.guard import Limits

FRACTION = "0 closed … 1 open"
# LeRobot's units -> (ours, factor); MotorNormMode's values among them
UNITS: Mapping[str, tuple[str, float]] = {
    "rad": ("rad", 1.0),
    "deg": ("rad", np.pi / 180),
    "degrees": ("rad", np.pi / 180),
    "0 … 1": (FRACTION, 1.0),
    "0 … 100": (FRACTION, 0.01),
    "range_0_100": (FRACTION, 0.01),
    "-100 … 100": ("-100 … 100", 1.0),
    "range_m100_100": ("-100 … 100", 1.0),
}
_LIMITS = ("low", "high", "velocity", "acceleration", "lead")


@dataclass(frozen=True)
class LeRobotSettings:
    """What --robot-config says; empty where it has to be said, by a clear error."""

    robot: str | Mapping[str, Any] = ""
    control_rate_hz: float | None = None
    limits: Mapping[str, Any] | None = None
    start: str | float | Mapping[str, float] | None = None
    units: Mapping[str, str] | None = None
    joints: Sequence[str] | Mapping[str, str] | None = None
    pictures_have_noise: bool = True

    def check(self) -> None:
        """Raise UsageError, with every setting that is missing."""
        missing = [
            f"{name} ({what})"
            for name, what, given in (
                ("robot", "LeRobot's own config: a file, or an object with a type", self.robot),
                ("control_rate_hz", "of the robot's loop", self.control_rate_hz),
                ("limits", f"of each joint: {', '.join(_LIMITS)}", self.limits),
                ("start", "the pose of each joint, or here", self.start),
            )
            if given in (None, "")
        ]
        if missing:
            raise UsageError(
                f"--robot lerobot needs in --robot-config: {'; '.join(missing)}: see docs/robot.md"
            )
        if not 1 <= self.rate_hz <= 1000:
            raise UsageError(
                f"control_rate_hz is {self.rate_hz:g}, expected 1 to 1000 (--robot-config)"
            )

    @property
    def rate_hz(self) -> float:
        """The control rate, once it is checked that there is one."""
        return self.control_rate_hz or 0.0


def joint_features(
    settings: LeRobotSettings, action: Mapping[str, Any], observed: Mapping[str, Any]
) -> dict[str, str]:
    """Find the robot's joints: {our name: LeRobot's feature}, in their order. Raises UsageError.

    action, observed: LeRobot's action_features and observation_features
    """
    positions = {name.removesuffix(".pos"): name for name in action if name.endswith(".pos")}
    foreign = [name for name in action if not name.endswith(".pos")]
    if foreign or not positions:
        raise UsageError(
            f"the robot is commanded by {', '.join(foreign) or 'nothing'}: only joint positions "
            "(NAME.pos) can be driven, since a hold means that a target stays as it is"
        )
    blind = [name for name in positions.values() if name not in observed]
    if blind:
        raise UsageError(f"the robot does not measure {', '.join(blind)}: nothing to guard by")
    named = settings.joints
    if named is None:
        return positions
    theirs = dict(named) if isinstance(named, Mapping) else {name: name for name in named}
    if sorted(theirs.values()) != sorted(positions):
        raise UsageError(
            f"joints in --robot-config: expected each of {', '.join(positions)} once, got "
            f"{', '.join(theirs.values())}"
        )
    return {ours: positions[name] for ours, name in theirs.items()}


def joint_units(
    told: Mapping[str, str], joints: Sequence[str], stated: Mapping[str, str]
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return each joint's unit here, and its factor from LeRobot's, (D,). Raises UsageError.

    stated: by the robot's own motors, {joint: unit}; told: of the others
    """
    both = sorted(joint for joint in told if stated.get(joint, told[joint]) != told[joint])
    words = {**told, **stated}
    unknown = [joint for joint in joints if words.get(joint) not in UNITS]
    strange = sorted(set(told) - set(joints))
    if both or unknown or strange:
        reasons = [f"{each}: its motor says {stated[each]}, you {told[each]}" for each in both]
        reasons += [f"{each}: LeRobot does not say its unit" for each in unknown]
        reasons += [f"{each}: no such joint; there are {', '.join(joints)}" for each in strange]
        raise UsageError(
            f"units of the joints: {'; '.join(reasons)}. Expected one of {', '.join(UNITS)}"
        )
    pairs = [UNITS[words[joint]] for joint in joints]
    return tuple(unit for unit, _ in pairs), np.array([factor for _, factor in pairs])


def read_limits(settings: LeRobotSettings, joints: Sequence[str]) -> Limits:
    """Read the limits, in this side's units; null is no limit of velocity and such."""
    given = dict(settings.limits or {})
    wrong = sorted(set(_LIMITS) ^ set(given))
    if wrong:
        raise UsageError(
            f"limits in --robot-config: expected {', '.join(_LIMITS)}; wrong or missing: "
            f"{', '.join(wrong)}"
        )
    values = {
        name: joint_values(f"limits.{name}", given[name], joints, null=np.inf) for name in _LIMITS
    }
    try:
        return Limits(**values)
    except ValueError as error:
        raise UsageError(f"limits in --robot-config: {error}") from None


def joint_values(
    what: str, given: Any, joints: Sequence[str], *, null: float | None = None
) -> np.ndarray:
    """Read a number for each joint, or one for all: (D,). Raises UsageError.

    null: what a null stands for; None where there has to be a number
    """
    values = given if isinstance(given, Mapping) else dict.fromkeys(joints, given)
    wrong = sorted(set(values) ^ set(joints))
    numbers: list[Any] = [null if value is None else value for value in values.values()]
    if wrong or not all(type(value) in (int, float) for value in numbers):
        raise UsageError(
            f"{what} in --robot-config: expected one number, or one for each of "
            f"{', '.join(joints)}" + (f"; wrong or missing: {', '.join(wrong)}" if wrong else "")
        )
    by_joint = dict(zip(values, numbers, strict=True))
    return np.array([float(by_joint[joint]) for joint in joints])
