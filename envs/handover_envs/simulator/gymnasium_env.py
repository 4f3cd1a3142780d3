"""Gymnasium environments of the simulator, for users who want only its fast stepping.

from handover_envs import register
register()
env = gymnasium.make("handover/AlohaTransferCube-v0")
"""

from typing import Any, Literal, get_args

import gymnasium
import numpy as np
from gymnasium import spaces

from handover_envs.simulator.rendering import LookName
from handover_envs.simulator.simulator import FRAME_HEIGHT, FRAME_WIDTH, AlohaSimulator
from handover_envs.tasks.names import TaskName
from handover_envs.tasks.task import CONTROL_RATE_HZ, DEMONSTRATION_STEPS, SUCCESS_REWARD

ObservationKind = Literal["agent_pos", "pixels_agent_pos"]

ENVIRONMENTS: dict[str, TaskName] = {
    "handover/AlohaTransferCube-v0": "transfer_cube",
    "handover/AlohaInsertion-v0": "insertion",
    "handover/AlohaTransferCubeLeft-v0": "transfer_cube_left",
}

# gym-aloha's actuators (ctrlrange in bimanual_viperx_*.xml), rad; grippers 0 … 1
_ARM_LOW = (-3.14158, -1.85005, -1.76278, -3.14158, -1.8675, -3.14158, 0.0)
_ARM_HIGH = (3.14158, 1.25664, 1.6057, 3.14158, 2.23402, 3.14158, 1.0)


class AlohaGymEnv(gymnasium.Env[dict[str, Any], np.ndarray]):
    """gym-aloha's observations and rewards; images only with `pixels_agent_pos` or `render()`.

    Actions are 14 joint targets with the actuators' real limits as `action_space`; they are
    passed on unchanged. An episode terminates at reward 4, as gym-aloha's does.
    """

    # on the class, where gymnasium.make looks
    metadata = {"render_modes": ["rgb_array"], "render_fps": CONTROL_RATE_HZ}  # noqa: RUF012

    def __init__(
        self,
        task: TaskName = "transfer_cube",
        obs_type: ObservationKind = "agent_pos",
        look: LookName = "default",
        render_mode: Literal["rgb_array"] | None = "rgb_array",
    ) -> None:
        if obs_type not in get_args(ObservationKind):
            expected = ", ".join(get_args(ObservationKind))
            raise ValueError(f"obs_type {obs_type!r}: expected one of {expected}")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode {render_mode!r}: expected rgb_array")
        self.render_mode = render_mode
        self._shows_pixels = obs_type == "pixels_agent_pos"
        self.simulator = AlohaSimulator(task, look)
        low, high = np.tile(np.array([_ARM_LOW, _ARM_HIGH], np.float32), 2)
        self.action_space = spaces.Box(low, high, dtype=np.float32)
        parts: dict[str, spaces.Space[Any]] = {
            "agent_pos": spaces.Box(-np.inf, np.inf, (14,), np.float64)
        }
        if self._shows_pixels:
            image = spaces.Box(0, 255, (FRAME_HEIGHT, FRAME_WIDTH, 3), np.uint8)
            parts["pixels"] = spaces.Dict({"top": image})
        self.observation_space = spaces.Dict(parts)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; without a seed, one is drawn from the generator of the last given."""
        super().reset(seed=seed)
        if seed is None:
            seed = int(self.np_random.integers(2**32))
        self.simulator.reset(seed)
        return self._observe(), {"is_success": False, "seed": seed}

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Hold 14 joint targets for 20 ms."""
        reward = self.simulator.step(action)
        is_success = reward == SUCCESS_REWARD
        return self._observe(), float(reward), is_success, False, {"is_success": is_success}

    def render(self) -> np.ndarray:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Draw the top camera: (480, 640, 3) uint8."""
        return self.simulator.render()

    def close(self) -> None:
        """Free the drawing context."""
        self.simulator.close()

    def _observe(self) -> dict[str, Any]:
        observation: dict[str, Any] = {"agent_pos": self.simulator.state}
        if self._shows_pixels:
            observation["pixels"] = {"top": self.simulator.render()}
        return observation


def register() -> None:
    """Register the environments for gymnasium.make; calling it twice does no harm.

    Their episodes have 400 steps, like the demonstrations (gym-aloha has 300).
    """
    for name, task in ENVIRONMENTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point="handover_envs.simulator.gymnasium_env:AlohaGymEnv",
                max_episode_steps=DEMONSTRATION_STEPS,
                nondeterministic=True,  # software rendering differs in a few pixels
                kwargs={"task": task},
            )
