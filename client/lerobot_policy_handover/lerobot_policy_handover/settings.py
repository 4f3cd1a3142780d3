"""Settings of the policy, checked before a robot moves; nothing of LeRobot or PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from handover_common import UsageError

CLOCKS = ("wall", "simulated")


@dataclass(frozen=True)
class ServerSettings:
    """What LeRobot does not tell a policy, and nobody may guess.

    control_rate_hz: how often LeRobot asks for an action: --fps of lerobot-rollout, the
        environment's fps of lerobot-eval
    clock: wall for a robot, which goes on while the server thinks; simulated for lerobot-eval,
        which waits for each action
    task: the instruction; empty for the one that LeRobot hands on
    cameras: {the policy's camera: LeRobot's}, where the names differ
    groups: {the policy's group: its first joint and the one after its last}
    joints: names of the joints in LeRobot's order; (aloha,) says that they are an ALOHA's 14
    units: of each of the joints, in LeRobot's words; not for an ALOHA, whose units are known
    grippers: those of the joints that are grippers
    """

    server: str
    control_rate_hz: float
    clock: str
    task: str = ""
    cameras: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    joints: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    grippers: tuple[str, ...] = ()
    execute_steps: int = 8
    policy_rate_hz: float = 0.0
    image_size: int = 256
    seed: int | None = None
    reconnect_s: float = 10.0

    @property
    def is_aloha(self) -> bool:
        """Whether the joints are said to be an ALOHA's."""
        return self.joints == ("aloha",)

    def check(self) -> None:
        """Raise UsageError, with everything that is missing or makes no sense."""
        wrong = []
        if not self.server:
            wrong.append("--policy.server=HOST:PORT: the Handover server")
        if not 0 < self.control_rate_hz <= 1000:
            wrong.append(
                "--policy.control_rate_hz=HZ: how often LeRobot asks for an action (--fps of "
                "lerobot-rollout; 50 for lerobot-eval's aloha)"
            )
        if self.clock not in CLOCKS:
            wrong.append(
                "--policy.clock=wall for a robot (lerobot-rollout), or simulated for lerobot-eval"
            )
        if not self.joints:
            wrong.append(
                "--policy.joints='[NAME, …]': LeRobot hands on numbers without their names; "
                "'[aloha]' for an ALOHA's 14 in their order, rad and grippers 0 … 1"
            )
        elif not self.is_aloha and len(self.units) != len(self.joints):
            wrong.append(
                f"--policy.units='[deg, …]': one for each of {', '.join(self.joints)}; got "
                f"{len(self.units)}"
            )
        unknown = sorted(set(self.grippers) - set(self.joints))
        if unknown:
            wrong.append(f"--policy.grippers: {', '.join(unknown)} is in no --policy.joints")
        if wrong:
            raise UsageError(f"policy handover needs: {'; '.join(wrong)}")


def instruction(settings: ServerSettings, handed: str) -> str:
    """Return the task's instruction. Raises UsageError where LeRobot hands on a name or nothing."""
    if settings.task.strip():
        return settings.task
    if len(handed.split()) < 2:
        raise UsageError(
            f"LeRobot hands on the task {handed!r}, which is no instruction: "
            "--policy.task='…', word for word as in the recordings"
        )
    return handed
