"""Trossen's WidowX AI arms as a robot: two of them by the vendor's driver, cameras by OpenCV.

The arms' joints stand at the places of ALOHA's: left, then right, six in rad and a gripper each.
Positions alone are commanded, each to be reached within a control period; the driver sends them on
a thousand times a second from a thread of its own.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from handover_common import HandoverError, MissingExtra
from handover_proto import ALOHA_JOINTS, GRIPPER_JOINTS

from handover_client.drive.guard import Limits
from handover_client.drive.robots.cameras import OpenCvCamera, start_cameras
from handover_client.drive.robots.interface import Reading, RobotDescription
from handover_client.drive.robots.trossen_settings import (
    ARM_JOINTS,
    TrossenSettings,
    camera_settings,
    trossen_settings,
)

_OUTSIDE_RAD, _OUTSIDE_M = 0.1, 0.005  # that an arm may rest outside its limits
_TOLERANCE = 1e-3  # of a limit that the controller keeps in single precision


class TrossenRobot:
    """Two WidowX AI arms. A robot as any other."""

    def __init__(self, **settings: Any) -> None:
        """Take the settings of --robot-config, those of TrossenSettings. Raises UsageError."""
        self._settings = trossen_settings(settings)
        self._sources = dict(self._settings.cameras)
        self._cameras: dict[str, OpenCvCamera] = {}
        self._arms: list[_Arm] = []

    def add_cameras(self, sources: Mapping[str, str]) -> None:
        """Add cameras of --camera NAME=SOURCE; before `connect`."""
        for name, source in sources.items():
            self._sources[name] = camera_settings(source, f"--camera {name}")

    def connect(self) -> None:
        """Connect the cameras, then the arms, which hold where they are."""
        try:
            self._cameras = {
                name: OpenCvCamera(name, camera) for name, camera in self._sources.items()
            }
            self._arms = [
                _Arm(side, getattr(self._settings, side).address, self._settings)
                for side in ("left", "right")
            ]
            start_cameras(self._cameras.values())
            for arm in self._arms:
                arm.connect()
        except BaseException:
            self.release()
            raise

    def observe(self) -> Reading:
        """Return the newest joints and pictures. Raises HandoverError for an arm that is lost."""
        for arm in self._arms:
            arm.measure()
        lost = [arm.lost for arm in self._arms if arm.lost]
        if lost:
            raise HandoverError(f"{'; '.join(lost)}: the arms hold; see docs/robot.md")
        joints = np.concatenate([arm.joints for arm in self._arms])
        oldest_s = min(arm.time_s for arm in self._arms)
        frames = {name: camera.frame for name, camera in self._cameras.items()}
        return Reading(joints, oldest_s, frames)

    def command(self, target: np.ndarray) -> None:
        """Aim at a target, to be reached within a control period; lost arms are left out."""
        for arm, part in zip(self._arms, np.split(target, 2), strict=True):
            arm.aim(part)

    def hold(self) -> None:
        """Stay at the last target, as the driver does until it is told another."""

    def release(self) -> None:
        """Disconnect; the vendor's driver then sets the arms' mode idle: joints are braked."""
        for camera in self._cameras.values():
            camera.close()
        for arm in self._arms:
            arm.disconnect()
        self._cameras, self._arms = {}, []

    def describe(self) -> RobotDescription:
        """Return what the settings say."""
        return _describe(self._settings, {name: each for name, each in self._sources.items()})


class _Arm:
    """One arm and its driver; `lost` says why it can no longer be driven."""

    def __init__(self, side: str, address: str, settings: TrossenSettings) -> None:
        """Connect to nothing yet. Raises MissingExtra without the vendor's driver."""
        try:
            import trossen_arm  # pyright: ignore[reportMissingImports]
        except ModuleNotFoundError as error:
            raise MissingExtra("trossen_arm", "trossen") from error
        self._vendor: Any = trossen_arm
        self._driver: Any = None
        self._name, self._address, self._settings = f"{side} arm ({address})", address, settings
        self._output_id = -1
        self.joints = np.full(ARM_JOINTS + 1, np.nan)  # as the robot has them: rad, 0 … 1
        self.time_s = 0.0  # of the measurement, not of asking for it
        self.lost = ""

    def connect(self) -> None:
        """Connect, check limits and pose, and hold. Raises HandoverError."""
        vendor, settings = self._vendor, self._settings
        self._driver = vendor.TrossenArmDriver()
        # off the operator's screen; a logger backend of ours would crash at the process's end
        self._driver.set_log_level(vendor.LogLevel.critical)
        end_effector = getattr(vendor.StandardEndEffector, settings.end_effector)

        def configure() -> None:
            self._driver.configure(
                vendor.Model.wxai_v0,
                end_effector,
                self._address,
                False,  # an arm with an error is looked at by a person
                settings.connect_timeout_s,
            )

        self._call(configure)
        self.measure()
        self._call(self._check_limits)
        self._call(lambda: self._driver.set_all_modes(vendor.Mode.position))
        if self.lost:
            raise HandoverError(f"{self.lost}: check its power, network and address")
        self._check_pose()

    def measure(self) -> None:
        """Take the driver's newest output; an arm that has sent none for long is lost."""

        def read() -> None:
            output = self._driver.get_robot_output()
            now_s = time.monotonic()
            if output.header.id != self._output_id:
                self._output_id, self.time_s = output.header.id, now_s
                values = np.array(list(output.joint.all.positions))
                self.joints = _from_driver(values, self._settings)
            elif now_s - self.time_s > self._settings.lost_after_s:
                self.lost = f"the {self._name} has sent nothing for {now_s - self.time_s:.1f} s"

        self._call(read)

    def aim(self, target: np.ndarray) -> None:
        """Aim at a target, (7,): rad, gripper 0 … 1."""
        values = self._vendor.VectorDouble(_to_driver(target, self._settings).tolist())
        period_s = 1 / self._settings.control_rate_hz
        self._call(lambda: self._driver.set_all_positions(values, period_s, False))

    def disconnect(self) -> None:
        """Close the driver, whatever state it is in."""
        driver, self._driver = self._driver, None
        if driver is not None:
            try:
                driver.cleanup()
            except Exception as error:
                self.lost = self.lost or f"the {self._name} did not disconnect: {_first(error)}"

    def _call(self, work: Callable[[], None]) -> None:
        """Use the driver; what it raises is kept as the arm's loss, so that the other goes on."""
        if self.lost:
            return
        try:
            work()
        except HandoverError:
            raise
        except Exception as error:  # the vendor's own kinds
            self.lost = f"the {self._name} does not answer: {_first(error)}"

    def _check_limits(self) -> None:
        """Raise HandoverError where the settings allow what the arm's controller does not."""
        theirs = list(self._driver.get_joint_limits())
        settings, gripper = self._settings, self._settings.gripper
        ours = [
            *zip(
                settings.limits.low_rad,
                settings.limits.high_rad,
                settings.limits.velocity_rad_s,
                (theirs[joint] for joint in settings.order),
                settings.joint_order,
                strict=True,
            ),
            (gripper.closed_m, gripper.open_m, gripper.velocity_m_s, theirs[-1], "gripper"),
        ]
        for low, high, velocity, their, name in ours:
            least, most = their.position_min - _TOLERANCE, their.position_max + _TOLERANCE
            if not (least <= low and high <= most and velocity <= their.velocity_max + _TOLERANCE):
                raise HandoverError(
                    f"{self._name}: the limits of {name} in --robot-config ({low:g} to {high:g}, "
                    f"{velocity:g} a second) are wider than its controller's "
                    f"({their.position_min:.3f} to {their.position_max:.3f}, "
                    f"{their.velocity_max:.3f}): narrow them"
                )

    def _check_pose(self) -> None:
        """Raise HandoverError for an arm that rests where it may not be driven."""
        limits, gripper = self._settings.limits, self._settings.gripper
        margin = np.array([_OUTSIDE_RAD] * ARM_JOINTS + [_OUTSIDE_M / _travel(self._settings)])
        low, high = np.append(limits.low_rad, 0.0), np.append(limits.high_rad, 1.0)
        outside = ~((self.joints >= low - margin) & (self.joints <= high + margin))
        if outside.any():
            place = int(np.flatnonzero(outside)[0])
            name = (*self._settings.joint_order, "gripper")[place]
            raise HandoverError(
                f"{self._name}: {name} is at {self.joints[place]:.3f}, outside its limits "
                f"{low[place]:.3f} to {high[place]:.3f} of --robot-config (a gripper's 0 is "
                f"{gripper.closed_m:g} m, its 1 {gripper.open_m:g} m): move the arm by hand, or "
                "correct the limits"
            )


def _first(error: BaseException) -> str:
    """The first line of the vendor's errors; the others point to its web site."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _travel(settings: TrossenSettings) -> float:
    return settings.gripper.open_m - settings.gripper.closed_m


def _from_driver(values: np.ndarray, settings: TrossenSettings) -> np.ndarray:
    """(7,) rad and metres in the driver's order -> (7,) rad and 0 … 1 in the settings'."""
    gripper = (values[ARM_JOINTS] - settings.gripper.closed_m) / _travel(settings)
    return np.append(values[settings.order], gripper)


def _to_driver(target: np.ndarray, settings: TrossenSettings) -> np.ndarray:
    """Undo `_from_driver`."""
    values = np.empty(ARM_JOINTS + 1)
    values[settings.order] = target[:ARM_JOINTS]
    values[ARM_JOINTS] = settings.gripper.closed_m + target[ARM_JOINTS] * _travel(settings)
    return values


def _describe(settings: TrossenSettings, cameras: Mapping[str, Any]) -> RobotDescription:
    limits, gripper, travel = settings.limits, settings.gripper, _travel(settings)

    def both(arm: np.ndarray, of_gripper: float) -> np.ndarray:
        return np.tile(np.append(arm, of_gripper), 2)

    starts: Sequence[np.ndarray] = [
        np.append(arm.start_rad, (arm.start_gripper_m - gripper.closed_m) / travel)
        for arm in (settings.left, settings.right)
    ]
    return RobotDescription(
        joints=ALOHA_JOINTS,
        units=tuple(
            "0 closed … 1 open" if place in GRIPPER_JOINTS else "rad"
            for place in range(len(ALOHA_JOINTS))
        ),
        cameras={name: (camera.height, camera.width) for name, camera in cameras.items()},
        control_rate_hz=settings.control_rate_hz,
        limits=Limits(
            low=both(limits.low_rad, 0.0),
            high=both(limits.high_rad, 1.0),
            velocity=both(limits.velocity_rad_s, gripper.velocity_m_s / travel),
            acceleration=both(limits.acceleration_rad_s2, gripper.acceleration_m_s2 / travel),
            lead=both(limits.lead_rad, gripper.lead_m / travel),
        ),
        start=np.concatenate(starts),
        pictures_have_noise=True,
    )
