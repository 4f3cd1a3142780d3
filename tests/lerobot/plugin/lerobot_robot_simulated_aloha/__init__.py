"""A LeRobot robot as third parties make them: gym-aloha at 50 Hz of wall time, and its cameras."""

from dataclasses import dataclass

import numpy as np
from handover_client.drive.robots.sim import SimRobot
from handover_proto import ALOHA_JOINTS
from lerobot.robots import Robot, RobotConfig


@RobotConfig.register_subclass("simulated_aloha")
@dataclass
class SimulatedAlohaConfig(RobotConfig):
    """Settings of the simulation; disable_torque_on_disconnect as real arms have it."""

    seed: int = 1000
    look: str = "plain"
    camera_rate_hz: float = 5.0
    disable_torque_on_disconnect: bool = True


class SimulatedAloha(Robot):
    """ALOHA's 14 joints, rad and grippers 0 … 1, and the camera top."""

    config_class = SimulatedAlohaConfig
    name = "simulated_aloha"

    def __init__(self, config):
        super().__init__(config)
        self._sim = SimRobot(
            seed=config.seed, look=config.look, camera_rate_hz=config.camera_rate_hz
        )
        self._connected, self.cameras = False, {}

    @property
    def action_features(self):
        return {f"{name}.pos": float for name in ALOHA_JOINTS}

    @property
    def observation_features(self):
        return {**self.action_features, "top": (480, 640, 3)}

    @property
    def is_connected(self):
        return self._connected

    @property
    def is_calibrated(self):
        return True

    def connect(self, calibrate=True):
        self._sim.connect()
        self._sim.set_up(0)
        self._connected = True

    def calibrate(self):
        pass

    def configure(self):
        pass

    def get_observation(self):
        reading = self._sim.observe()
        joints = dict(zip(self.action_features, map(float, reading.joints), strict=True))
        return {**joints, "top": reading.frames["top"].image}

    def send_action(self, action):
        self._sim.command(np.array([action[name] for name in self.action_features]))
        return action

    def disconnect(self):
        print("the task is done" if self._sim.is_done() else "the task is not done", flush=True)
        self._sim.release()
        self._connected = False


@RobotConfig.register_subclass("point_aloha")
@dataclass
class PointAlohaConfig(RobotConfig):
    """Nothing to set."""


class PointAloha(SimulatedAloha):
    """The same joints and camera without a simulation: at once where they were sent."""

    config_class = PointAlohaConfig
    name = "point_aloha"

    def __init__(self, config):
        Robot.__init__(self, config)
        self._joints = dict.fromkeys(self.action_features, 0.0)
        self._connected, self.cameras, self._sent = False, {}, []

    def connect(self, calibrate=True):
        self._connected = True

    def get_observation(self):
        return {**self._joints, "top": np.zeros((480, 640, 3), np.uint8)}

    def send_action(self, action):
        self._joints = {name: float(action[name]) for name in self.action_features}
        self._sent.append(list(self._joints.values()))
        return action

    def disconnect(self):
        way = np.ptp(np.array(self._sent), axis=0).max() if self._sent else 0.0
        print(f"{len(self._sent)} actions, at most {way:.3f} rad apart", flush=True)
        self._connected = False
