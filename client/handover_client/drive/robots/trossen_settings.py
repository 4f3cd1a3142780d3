"""Settings of --robot trossen, read strictly: every key and unit is said, none is guessed.

Each list of joints has six numbers, in the order that `joint_order` says. A gripper's numbers are
metres that one finger has moved, as in the vendor's driver.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from handover_common import UsageError

from handover_client.drive.robots.cameras import CameraSettings

ARM_JOINTS = 6
JOINT_NAMES = tuple(f"joint_{place}" for place in range(ARM_JOINTS))
_RATES = ("control_rate_hz", "connect_timeout_s", "lost_after_s")
END_EFFECTORS = ("wxai_v0_follower", "wxai_v0_leader", "wxai_v0_base")


@dataclass(frozen=True)
class ArmSettings:
    """One arm: where it is, and where it begins."""

    address: str
    start_rad: np.ndarray  # (6,)
    start_gripper_m: float


@dataclass(frozen=True)
class JointLimits:
    """Limits of both arms' joints, (6,) each."""

    low_rad: np.ndarray
    high_rad: np.ndarray
    velocity_rad_s: np.ndarray
    acceleration_rad_s2: np.ndarray
    lead_rad: np.ndarray  # most distance of a target from the measured joint


@dataclass(frozen=True)
class GripperSettings:
    """Both grippers: travel, which becomes 0 (closed) … 1 (open), and limits."""

    closed_m: float
    open_m: float
    velocity_m_s: float
    acceleration_m_s2: float
    lead_m: float


@dataclass(frozen=True)
class TrossenSettings:
    """Two WidowX AI arms."""

    left: ArmSettings
    right: ArmSettings
    joint_order: tuple[str, ...]  # of the driver's six, as in the recordings
    limits: JointLimits
    gripper: GripperSettings
    cameras: Mapping[str, CameraSettings]
    end_effector: str = END_EFFECTORS[0]
    control_rate_hz: float = 50.0
    connect_timeout_s: float = 20.0  # of each arm
    lost_after_s: float = 5.0  # without a new measurement of an arm: its connection is gone

    @property
    def order(self) -> list[int]:
        """The driver's joint at each place of `joint_order`."""
        return [JOINT_NAMES.index(name) for name in self.joint_order]


def trossen_settings(settings: Mapping[str, Any]) -> TrossenSettings:
    """Read the settings of --robot-config. Raises UsageError, which names the key."""
    values = _keys(settings, TrossenSettings, "")
    order = values["joint_order"]
    if not (isinstance(order, list) and sorted(map(str, order)) == sorted(JOINT_NAMES)):
        raise _wrong("joint_order", f"each of {', '.join(JOINT_NAMES)} once", order)
    if values.get("end_effector", END_EFFECTORS[0]) not in END_EFFECTORS:
        raise _wrong("end_effector", f"one of {', '.join(END_EFFECTORS)}", values["end_effector"])
    more: dict[str, Any] = {
        name: _number(values[name], name, above=0.0) for name in _RATES if name in values
    }
    more |= {name: values[name] for name in ("end_effector",) if name in values}
    read = TrossenSettings(
        left=_arm(values["left"], "left"),
        right=_arm(values["right"], "right"),
        joint_order=tuple(order),
        limits=_limits(values["limits"]),
        gripper=_gripper(values["gripper"]),
        cameras=_cameras(values["cameras"]),
        **more,
    )
    if not 10 <= read.control_rate_hz <= 200:
        raise _wrong("control_rate_hz", "10 to 200", read.control_rate_hz)
    if read.left.address == read.right.address:
        raise _wrong("right.address", "another one than left.address", read.right.address)
    for side in ("left", "right"):
        _check_start(getattr(read, side), side, read)
    return read


def camera_settings(value: Any, key: str) -> CameraSettings:
    """Read a camera: its source alone, or source, height, width, timeout_s. Raises UsageError."""
    alone: dict[str, Any] = {"source": value}
    values = alone if isinstance(value, str) else _keys(value, CameraSettings, key)
    if not (isinstance(values["source"], str) and values["source"].strip()):
        raise _wrong(f"{key}.source", "a device, a file or an address", values["source"])
    for name in ("height", "width"):
        size = values.get(name, 1)
        if not (isinstance(size, int) and not isinstance(size, bool) and 0 < size <= 4096):
            raise _wrong(f"{key}.{name}", "pixels, 1 to 4096", size)
    if "timeout_s" in values:
        values["timeout_s"] = _number(values["timeout_s"], f"{key}.timeout_s", above=0.0)
    return CameraSettings(**values)


def _arm(value: Any, key: str) -> ArmSettings:
    values = _keys(value, ArmSettings, key)
    if not (isinstance(values["address"], str) and values["address"].strip()):
        raise _wrong(f"{key}.address", "the address of the arm's controller", values["address"])
    return ArmSettings(
        address=values["address"],
        start_rad=_six(values["start_rad"], f"{key}.start_rad"),
        start_gripper_m=_number(values["start_gripper_m"], f"{key}.start_gripper_m"),
    )


def _limits(value: Any) -> JointLimits:
    values = _keys(value, JointLimits, "limits")
    read = JointLimits(**{name: _six(one, f"limits.{name}") for name, one in values.items()})
    if not (read.low_rad < read.high_rad).all():
        raise _wrong("limits.high_rad", "above low_rad, joint by joint", values["high_rad"])
    for name in ("velocity_rad_s", "acceleration_rad_s2", "lead_rad"):
        if not (getattr(read, name) > 0).all():
            raise _wrong(f"limits.{name}", "six numbers above 0", values[name])
    return read


def _gripper(value: Any) -> GripperSettings:
    values = _keys(value, GripperSettings, "gripper")
    numbers = {name: _number(one, f"gripper.{name}") for name, one in values.items()}
    read = GripperSettings(**numbers)
    # a travel in millimetres would be metres wide
    if not (0 <= read.closed_m < read.open_m <= 0.2):
        raise _wrong("gripper", "0 <= closed_m < open_m <= 0.2, in metres", numbers)
    if not min(read.velocity_m_s, read.acceleration_m_s2, read.lead_m) > 0:
        raise _wrong("gripper", "velocity, acceleration and lead above 0", numbers)
    return read


def _cameras(value: Any) -> dict[str, CameraSettings]:
    if value is None or value == {}:
        return {}
    if not isinstance(value, dict) or not all(isinstance(name, str) and name for name in value):
        raise _wrong("cameras", "NAME: source, or NAME: {source, height, width}", value)
    return {name: camera_settings(one, f"cameras.{name}") for name, one in value.items()}


def _check_start(arm: ArmSettings, side: str, read: TrossenSettings) -> None:
    inside = (read.limits.low_rad <= arm.start_rad) & (arm.start_rad <= read.limits.high_rad)
    if not inside.all():
        joint = read.joint_order[int(np.flatnonzero(~inside)[0])]
        raise _wrong(f"{side}.start_rad", f"inside the limits, as {joint} is not", arm.start_rad)
    if not read.gripper.closed_m <= arm.start_gripper_m <= read.gripper.open_m:
        raise _wrong(f"{side}.start_gripper_m", "closed_m to open_m", arm.start_gripper_m)


def _keys(value: Any, form: type[Any], key: str) -> dict[str, Any]:
    """Check a mapping's keys against a dataclass: none unknown, none missing."""
    place = f"{key}." if key else ""
    if not isinstance(value, Mapping):
        wanted = ", ".join(one.name for one in fields(form))
        raise _wrong(key or "the file", f"keys {wanted}", value)
    known = {one.name: one for one in fields(form)}
    for name in value:
        if name not in known:
            raise _wrong(f"{place}{name}", f"one of the keys {', '.join(known)}", "an unknown key")
    for name, one in known.items():
        if name not in value and one.default is one.default_factory:  # both are MISSING
            raise _wrong(f"{place}{name}", "a value: nothing is guessed", "no such key")
    return dict(value)


def _number(value: Any, key: str, above: float = -np.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise _wrong(key, "a finite number", value)
    if not value > above:
        raise _wrong(key, f"above {above:g}", value)
    return float(value)


def _six(value: Any, key: str) -> np.ndarray:
    if not isinstance(value, list) or len(value) != ARM_JOINTS:
        raise _wrong(key, f"a list of {ARM_JOINTS} numbers, in the order of joint_order", value)
    return np.array([_number(one, f"{key}[{place}]") for place, one in enumerate(value)])


def _wrong(key: str, expected: str, came: object) -> UsageError:
    words = came.tolist() if isinstance(came, np.ndarray) else came
    return UsageError(f"--robot-config: {key}: expected {expected}, got {words!r}")
