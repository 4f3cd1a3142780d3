"""Fit of a robot and a served policy: each misfit is a line with its remedy; none is guessed."""

from collections.abc import Mapping, Sequence

from handover_common import HandoverError, UsageError
from handover_proto import ALOHA_JOINTS, PolicySpec

from handover_client.drive.robots.interface import RobotDescription


class Misfit(HandoverError):
    """A robot and a policy that do not fit together; a line for each reason."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("\n".join(["the robot and the policy do not fit:", *reasons]))

    def lines(self) -> list[str]:
        """See HandoverError.lines."""
        return str(self).splitlines()


def camera_names(words: Sequence[str]) -> dict[str, str]:
    """Read --camera NAME=ROBOTCAMERA …: {the policy's name: the robot's}. Raises UsageError."""
    named: dict[str, str] = {}
    for word in words:
        name, equals, camera = word.partition("=")
        if not (name and equals and camera) or name in named:
            raise UsageError(f"--camera {word}: expected POLICYCAMERA=ROBOTCAMERA, each name once")
        named[name] = camera
    return named


def fit_cameras(
    robot: RobotDescription, spec: PolicySpec, named: Mapping[str, str], policy_rate_hz: float
) -> dict[str, str]:
    """Return which of the robot's cameras each of the policy's is. Raises Misfit with all reasons.

    A camera without a --camera is the robot's of the same name. Joints are checked by the
    controller, which knows the policy's layout.
    """
    reasons, cameras = [], {}
    there = ", ".join(robot.cameras) or "none"
    for camera in spec.cameras:
        chosen = named.get(camera.name, camera.name)
        cameras[camera.name] = chosen
        if chosen not in robot.cameras:
            reasons.append(
                f"  camera {chosen!r}: the robot has {there}: --camera {camera.name}=ROBOTCAMERA"
            )
    for name in sorted(set(named) - {camera.name for camera in spec.cameras}):
        wanted = ", ".join(camera.name for camera in spec.cameras) or "none"
        reasons.append(f"  --camera {name}=…: the policy has no such camera; it has: {wanted}")
    if tuple(robot.joints) != ALOHA_JOINTS:
        reasons.append(f"  joints: expected ALOHA's 14 in their order, got {list(robot.joints)}")
    known = set(robot.units)
    for group in (*spec.state, *spec.action):
        # fractions of a gripper's travel are worded in several ways: "0 closed … 1 open"
        if group.unit and group.unit not in known and not group.unit[0].isdigit():
            reasons.append(
                f"  group {group.name} is in {group.unit!r}, the robot's joints are in "
                f"{', '.join(sorted(known))}: convert the recordings to the robot's units"
            )
    if not (spec.rate_hz or policy_rate_hz):
        reasons.append("  the server does not state the policy's rate: --policy-rate-hz HZ")
    if reasons:
        raise Misfit(list(dict.fromkeys(reasons)))
    return cameras
