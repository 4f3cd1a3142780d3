"""H.264 video of an episode, drawn after it was played, from the targets that were played.

Physics repeats bit for bit, so the video shows what happened, costs the episode no time, and need
only be drawn where somebody will look at it.
"""

from collections.abc import Iterator

import numpy as np
from handover_common import HandoverError
from handover_conversion.video import Encoding, Mp4Encoder

from handover_client.rollout.watched_robot import Robot

# baseline: what every browser and phone plays
_ENCODING = Encoding(
    "libx264",
    {"preset": "veryfast", "crf": "26", "profile": "baseline"},
    key_frame_interval=250,  # x264's default
)


def draw_again(
    robot: Robot, seed: int, targets: np.ndarray, every: int, max_reward: int
) -> Iterator[np.ndarray]:
    """Play an episode's targets again, and draw the start and then every `every`-th control step.

    Yields (480, 640, 3) uint8. Raises HandoverError when it does not reach the same reward.
    """
    robot.reset(seed)
    yield robot.render()
    reached = 0
    for step, target in enumerate(targets, start=1):
        reached = max(reached, robot.step(target))
        if step % every == 0:
            yield robot.render()
    if reached != max_reward:
        raise HandoverError(
            f"seed {seed} reached reward {max_reward} when it was played and {reached} when it was "
            "drawn: the simulator does not repeat itself on this machine"
        )


def encode_h264(frames: Iterator[np.ndarray], rate_hz: int) -> bytes:
    """Encode (height, width, 3) uint8 RGB frames of even size as an mp4 that browsers play."""
    with Mp4Encoder(_ENCODING, rate_hz) as encoder:
        for frame in frames:
            encoder.add(frame)
    return encoder.video
