"""A batch of robots or environments under a Handover server, each with a controller of its own.

numpy alone: what LeRobot and PyTorch make of it is in modeling_handover.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from handover_client import PolicyClient, RealTimeController, square_image
from handover_client.control import JointLayout, RobotJoints, ServerChunks, find_joint_layout
from handover_client.drive import unit_misfits
from handover_client.drive.robots import joint_units
from handover_common import UsageError
from handover_proto import CameraSpec, PolicySpec

from lerobot_policy_handover.settings import ServerSettings, instruction

_PREFIX = "observation.images."


class ServedBatch:
    """Joint targets for every robot of a batch, at each of its control steps."""

    def __init__(self, client: PolicyClient, settings: ServerSettings) -> None:
        """Check that the policy fits. Raises UsageError, UnmetPrecondition."""
        settings.check()
        self._client, self._settings = client, settings
        spec = client.info.spec
        if settings.is_aloha:
            self._layout, self._factors = find_joint_layout(spec, settings.groups), np.ones(14)
        else:
            self._layout, self._factors = _another_robot(spec, settings)
        unknown = sorted(set(settings.cameras) - {camera.name for camera in spec.cameras})
        if unknown:
            raise UsageError(
                f"--policy.cameras: the policy has no {', '.join(unknown)}; it has "
                f"{', '.join(camera.name for camera in spec.cameras) or 'none'}"
            )
        self._controllers: list[RealTimeController] = []
        self._pool: ThreadPoolExecutor | None = None
        self._step, self._first_episode, self._start_s = -1, 0, 0.0

    @property
    def width(self) -> int:
        """The robot's joints: D."""
        return len(self._layout.robot.names)

    def reset(self) -> None:
        """Begin new episodes."""
        for controller in self._controllers:
            controller.close()
        self._first_episode += len(self._controllers)
        self._controllers = []
        self._step = -1
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def act(
        self, joints: np.ndarray, frames: Mapping[str, np.ndarray], tasks: Sequence[str]
    ) -> np.ndarray:
        """Return the targets of the next control step: (B, D) float32.

        joints: (B, D), in the robot's units; frames: {LeRobot's camera: (B, H, W, 3) uint8}.
        Raises UsageError for another width or a camera that is not there, PolicyError, ServerLost.
        """
        if joints.ndim != 2 or joints.shape[1] != self.width:
            raise UsageError(
                f"LeRobot's state has shape {joints.shape}, expected (batch, {self.width}): "
                f"{', '.join(self._layout.robot.names)} (--policy.joints for another robot)"
            )
        if not self._controllers:
            self._begin(tasks, len(joints))
        if len(joints) != len(self._controllers):
            raise UsageError(
                f"a batch of {len(joints)} after one of {len(self._controllers)}: "
                "the episodes begin together, at reset()"
            )
        self._step = self._next_step()
        seen, joints = self._frames(frames), joints * self._factors

        def act(place: int) -> np.ndarray:
            def observe() -> tuple[np.ndarray, dict[str, np.ndarray]]:
                return joints[place], {name: each(place) for name, each in seen.items()}

            return self._controllers[place].act(self._step, observe)

        assert self._pool
        # at the same time, so that the server batches them
        targets = np.stack(list(self._pool.map(act, range(len(joints)))))
        return (targets / self._factors).astype(np.float32)

    def _next_step(self) -> int:
        """The control step of now: by the clock, as a loop may be slower than it says."""
        if self._settings.clock != "wall":
            return self._step + 1
        seconds = time.monotonic() - self._start_s
        return max(self._step + 1, int(seconds * self._settings.control_rate_hz))

    def _begin(self, tasks: Sequence[str], count: int) -> None:
        settings = self._settings
        self._start_s = time.monotonic()
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="act")
        for place in range(count):
            episode = self._first_episode + place
            source = ServerChunks(
                self._client,
                layout=self._layout,
                seed=None if settings.seed is None else settings.seed + episode,
                client_tag=f"lerobot episode={episode}",
            )
            self._controllers.append(
                RealTimeController(
                    source,
                    instruction(settings, tasks[place]),
                    settings.control_rate_hz,
                    execute_steps=settings.execute_steps,
                    policy_rate_hz=settings.policy_rate_hz,
                    reconnect_s=settings.reconnect_s,
                    clock="wall" if settings.clock == "wall" else "simulated",
                )
            )

    def _frames(self, frames: Mapping[str, np.ndarray]) -> "dict[str, _Camera]":
        there = {name.removeprefix(_PREFIX): images for name, images in frames.items()}
        found = {}
        for camera in self._client.info.spec.cameras:
            name = self._settings.cameras.get(camera.name, camera.name)
            if name not in there:
                raise UsageError(
                    f"camera {name!r}: LeRobot has {', '.join(there) or 'none'}: "
                    f"--policy.cameras='{{{camera.name}: LEROBOTCAMERA}}'"
                )
            found[camera.name] = _Camera(there[name], _size(camera, self._settings.image_size))
        return found


def _another_robot(spec: PolicySpec, settings: ServerSettings) -> tuple[JointLayout, np.ndarray]:
    """Where the policy has the joints, and the factors from LeRobot's units to the policy's."""
    told = dict(zip(settings.joints, settings.units, strict=True))
    units, factors = joint_units(told, settings.joints, {})
    grippers = tuple(settings.joints.index(name) for name in settings.grippers)
    layout = find_joint_layout(spec, settings.groups, RobotJoints(settings.joints, grippers))
    wrong = unit_misfits(units, spec, layout)
    if wrong:
        raise UsageError("; ".join(line.strip() for line in wrong))
    return layout, factors


class _Camera:
    """The frames of a camera of every robot, resized where they are asked for."""

    def __init__(self, images: np.ndarray, size: int) -> None:
        self._images, self._size = images, size

    def __call__(self, place: int) -> np.ndarray:
        return square_image(self._images[place], self._size)


def _size(camera: CameraSpec, otherwise: int) -> int:
    if camera.height != camera.width:
        raise UsageError(
            f"camera {camera.name}: the policy wants {camera.height}x{camera.width} frames, only "
            "square ones are made here"
        )
    return camera.height or otherwise
