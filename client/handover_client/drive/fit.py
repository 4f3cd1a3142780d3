"""Fit of a robot and a served policy: each misfit is a line with its remedy; none is guessed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from handover_common import HandoverError, UsageError
from handover_proto import ALOHA_JOINTS, CameraSpec, PolicyError, PolicySpec

from handover_client.control.controller import find_policy_rate
from handover_client.control.joint_layout import ALOHA, JointLayout, RobotJoints, find_joint_layout
from handover_client.drive.robots.interface import RobotDescription


class Misfit(HandoverError):
    """A robot and a policy that do not fit together; a line for each reason."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("\n".join(["the robot and the policy do not fit:", *reasons]))

    def lines(self) -> list[str]:
        """See HandoverError.lines."""
        return str(self).splitlines()


def camera_names(words: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Read --camera NAME=ROBOTCAMERA …, and NAME=SOURCE, which has a slash. Raises UsageError.

    Returns {the policy's name: the robot's}, and {the policy's name: device, file or address}.
    """
    named: dict[str, str] = {}
    for word in words:
        name, equals, camera = word.partition("=")
        if not (name and equals and camera) or name in named:
            raise UsageError(f"--camera {word}: expected POLICYCAMERA=ROBOTCAMERA, each name once")
        named[name] = camera
    sources = {name: camera for name, camera in named.items() if "/" in camera}
    return {name: camera for name, camera in named.items() if name not in sources}, sources


def group_places(words: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Read --group NAME=FIRST:END …: {the policy's group: its joints}. Raises UsageError."""
    told: dict[str, tuple[int, int]] = {}
    for word in words:
        name, _, span = word.partition("=")
        first, _, end = span.partition(":")
        if not (name and first.isdigit() and end.isdigit() and int(first) < int(end)):
            raise UsageError(f"--group {word}: expected NAME=FIRST:END, END not in it")
        if name in told:
            raise UsageError(f"--group {word}: {name} is named twice")
        told[name] = int(first), int(end)
    return told


@dataclass(frozen=True)
class Fit:
    """How a robot and a policy belong together.

    cameras: {the policy's name: the robot's}; sizes: {the policy's name: (height, width)}
    layout: where the policy has the robot's joints
    """

    cameras: Mapping[str, str]
    sizes: Mapping[str, tuple[int, int]]
    layout: JointLayout


def fit(
    robot: RobotDescription,
    spec: PolicySpec,
    named: Mapping[str, str],
    policy_rate_hz: float,
    told: Mapping[str, tuple[int, int]],
    image_size: int,
    *,
    robot_units: bool = False,
) -> Fit:
    """Find the policy's cameras and joints at the robot. Raises Misfit with all reasons.

    named: {the policy's camera: the robot's}; another is the robot's of the same name
    told: {the policy's group: its first joint and the one after its last}
    image_size: of square frames, where the policy does not name their size
    robot_units: whether a policy that states no units has the robot's
    """
    reasons = _unfit_cameras(robot, spec, named) + _past_moments(spec)
    grippers = tuple(place for place, unit in enumerate(robot.units) if _is_fraction(unit))
    joints = ALOHA if robot.joints == ALOHA_JOINTS else RobotJoints(robot.joints, grippers)
    try:
        layout = find_joint_layout(spec, told, joints)
    except PolicyError as error:
        layout = None
        reasons.append(f"  {error}")
    else:
        reasons += unit_misfits(robot.units, spec, layout)
        if not robot_units:
            reasons += _unstated_units(robot, spec, layout)
    try:
        find_policy_rate(spec, policy_rate_hz)
    except PolicyError as error:
        reasons.append(f"  {error}")
    if reasons or layout is None:
        raise Misfit(list(dict.fromkeys(reasons)))
    cameras = {each.name: named.get(each.name, each.name) for each in spec.cameras}
    sizes = {
        each.name: (each.height or image_size, each.width or image_size) for each in spec.cameras
    }
    return Fit(cameras, sizes, layout)


def _unfit_cameras(
    robot: RobotDescription, spec: PolicySpec, named: Mapping[str, str]
) -> list[str]:
    reasons = []
    there = ", ".join(robot.cameras) or "none"
    for camera in spec.cameras:
        chosen = named.get(camera.name, camera.name)
        if chosen not in robot.cameras:
            reasons.append(
                f"  camera {chosen!r}: the robot has {there}: --camera {camera.name}=ROBOTCAMERA"
            )
        elif not _has_shape(robot.cameras[chosen], camera):
            height, width = robot.cameras[chosen]
            reasons.append(
                f"  camera {camera.name}: the policy wants {camera.height}×{camera.width} frames, "
                f"{chosen} has {height}×{width}: set the camera to frames of that shape"
            )
    for name in sorted(set(named) - {camera.name for camera in spec.cameras}):
        wanted = ", ".join(camera.name for camera in spec.cameras) or "none"
        reasons.append(f"  --camera {name}=…: the policy has no such camera; it has: {wanted}")
    return reasons


def _has_shape(height_width: tuple[int, int], camera: CameraSpec) -> bool:
    """Whether frames become those of the policy uncut, to a pixel; squares are cut from any."""
    height, width = height_width
    return camera.height == camera.width or abs(camera.height * width / height - camera.width) < 1


def _past_moments(spec: PolicySpec) -> list[str]:
    return [
        f"  {part.name}: the policy looks back in time, at {part.steps} moments; drive shows it "
        "the present alone"
        for part in (*spec.cameras, *spec.state)
        if part.steps != 1
    ]


def unit_misfits(units: Sequence[str], spec: PolicySpec, layout: JointLayout) -> list[str]:
    """Compare each group's unit, where the server states one, with those of its joints: (D,).

    A group of several units states them with commas: "rad, 0 closed to 1 open".
    """
    reasons = []
    for part, groups in ((spec.state, layout.state), (spec.action, layout.action)):
        for group in part:
            its = {units[joint] for joint in groups[group.name] if joint >= 0}
            wrong = sorted(unit for unit in its if group.unit and not _same(unit, group.unit))
            if wrong:
                reasons.append(
                    f"  group {group.name} is in {group.unit!r}, the robot's joints are in "
                    f"{', '.join(wrong)}: convert the recordings to the robot's units"
                )
    return reasons


def _unstated_units(robot: RobotDescription, spec: PolicySpec, layout: JointLayout) -> list[str]:
    groups = ((spec.state, layout.state), (spec.action, layout.action))
    unstated = {
        group.name: joints
        for part, places in groups
        for group in part
        if not group.unit and (joints := [each for each in places[group.name] if each >= 0])
    }
    if not unstated:
        return []
    its = dict.fromkeys(robot.units[each] for joints in unstated.values() for each in joints)
    units = ", ".join(its)
    return [
        f"  the server does not state the units of {', '.join(unstated)}; the robot's are {units}: "
        "--robot-units, if the policy's are the same"
    ]


def _same(unit: str, stated: str) -> bool:
    each = [one.strip() for one in stated.split(",")]
    return unit in (stated, *each) or (_is_fraction(unit) and any(map(_is_fraction, each)))


def _is_fraction(unit: str) -> bool:
    """Whether it is of a gripper's travel, which is worded in several ways: 0 closed … 1 open."""
    return unit[:1] in ("0", "1")
