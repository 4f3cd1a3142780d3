"""A robot in memory that does at once what it is told, and an operator with a list of keys."""

import json
import time
from dataclasses import dataclass, field

import numpy as np
from handover_client.drive.guard import Limits
from handover_client.drive.robots.interface import CameraFrame, Reading, RobotDescription
from handover_proto.embodiment import ALOHA_JOINTS, GRIPPER_JOINTS

LIMITS = Limits(
    low=np.full(14, -1.0),
    high=np.full(14, 1.0),
    velocity=np.full(14, 2.0),
    acceleration=np.full(14, 40.0),
    lead=np.full(14, 0.5),
)


class PointRobot:
    """14 joints that are where they were told to be; a camera whose frames are of now."""

    made: "list[PointRobot]" = []  # noqa: RUF012, tests empty it

    def __init__(self, start=0.1, frame_age_s=0.0, height_width=(32, 48), behind=0.0):
        self.joints, self.frame_age_s = np.full(14, float(start)), frame_age_s
        self.height_width, self.behind = tuple(height_width), behind
        self.commands, self.calls, self.done = [], [], False
        PointRobot.made.append(self)

    def connect(self):
        self.calls.append("connect")

    def observe(self):
        now_s = time.monotonic()
        image = np.full((*self.height_width, 3), len(self.commands) % 256, np.uint8)
        frame = CameraFrame(image, now_s - self.frame_age_s)
        return Reading(self.joints - self.behind, now_s, {"top": frame})

    def command(self, target):
        self.joints = target.copy()
        self.commands.append(target.copy())

    def hold(self):
        self.calls.append("hold")

    def release(self):
        self.calls.append("release")

    def describe(self):
        return RobotDescription(
            joints=ALOHA_JOINTS,
            units=tuple(
                "0 closed … 1 open" if joint in GRIPPER_JOINTS else "rad" for joint in range(14)
            ),
            cameras={"top": self.height_width},
            control_rate_hz=50.0,
            limits=LIMITS,
            start=np.zeros(14),
        )


class TableRobot(PointRobot):
    """The same with a table of its own: every episode begins at 0.2, a person goes to 0.3."""

    def set_up(self, episode):
        self.calls.append(f"set_up {episode}")
        self.joints = np.full(14, 0.2)

    def is_done(self):
        return self.done

    def take_over(self, command):
        return np.linspace(command, np.full(14, 0.3), 20)


class HalfARobot:
    """Has no method but one."""

    def connect(self):
        pass


@dataclass
class Keys:
    """An operator: keys at their seconds of each episode; starts one whenever it can."""

    episodes: list  # for each episode [(seconds, key), …]
    verdict: str = "start_or_end"  # neither
    number: int = -1
    left: list = field(default_factory=list)

    def keys(self, phase, seconds):
        if phase == "moving":
            return []
        if phase == "judging":
            return [self.verdict]
        if phase == "waiting":
            if self.number + 1 >= len(self.episodes):
                return ["quit"]
            self.number += 1
            self.left = list(self.episodes[self.number])
            return ["start_or_end"]
        due = [key for at_s, key in self.left if seconds >= at_s]
        self.left = [(at_s, key) for at_s, key in self.left if seconds < at_s]
        for key in due:
            if isinstance(key, Exception):
                raise key
        return due

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class LoggedRobot(TableRobot):
    """The same in a process that a test does not see into: a line of a file for each call."""

    def __init__(self, log, start=0.1):
        super().__init__(start)
        self.log = open(log, "a", buffering=1)  # noqa: SIM115, closed with the process

    def set_up(self, episode):
        super().set_up(episode)
        self._write("set_up")

    def command(self, target):
        super().command(target)
        self._write("command")

    def hold(self):
        self._write("hold")

    def release(self):
        self._write("release")

    def _write(self, name):
        self.log.write(json.dumps([name, time.monotonic(), self.joints[0]]) + "\n")
