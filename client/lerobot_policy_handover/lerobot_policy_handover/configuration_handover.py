"""Configuration of the policy as LeRobot's commands parse it: --policy.server, --policy.clock …"""

# pyright: reportMissingImports=false, reportUntypedBaseClass=false

from dataclasses import dataclass, field

from handover_common import UsageError
from lerobot.configs import PreTrainedConfig

from lerobot_policy_handover.settings import ServerSettings


@PreTrainedConfig.register_subclass("handover")
@dataclass
class HandoverConfig(PreTrainedConfig):
    """Settings of a policy that asks a server; see ServerSettings for what has to be said.

    groups: {group: [first, end]}; token_file, tls_ca: as of Handover's commands
    """

    server: str = ""
    control_rate_hz: float = 0.0
    clock: str = ""
    task: str = ""
    cameras: dict[str, str] = field(default_factory=dict)
    groups: dict[str, list[int]] = field(default_factory=dict)
    joints: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    grippers: list[str] = field(default_factory=list)
    execute_steps: int = 8
    policy_rate_hz: float = 0.0
    image_size: int = 256
    image_codec: str = "jpeg"
    seed: int | None = None
    connect_timeout_s: float = 60.0
    call_timeout_s: float = 5.0
    reconnect_s: float = 10.0
    tls: bool = False
    tls_ca: str = ""
    token_file: str = ""
    device: str | None = "cpu"  # the network is the server's

    def settings(self) -> ServerSettings:
        """Return what the batch needs. Raises UsageError."""
        groups = {}
        for name, span in self.groups.items():
            if len(span) != 2:
                raise UsageError(f"--policy.groups: {name} is {span}, expected [first, end]")
            groups[name] = (span[0], span[1])
        return ServerSettings(
            server=self.server,
            control_rate_hz=self.control_rate_hz,
            clock=self.clock,
            task=self.task,
            cameras=dict(self.cameras),
            groups=groups,
            joints=tuple(self.joints),
            units=tuple(self.units),
            grippers=tuple(self.grippers),
            execute_steps=self.execute_steps,
            policy_rate_hz=self.policy_rate_hz,
            image_size=self.image_size,
            seed=self.seed,
            reconnect_s=self.reconnect_s,
        )

    @property
    def observation_delta_indices(self) -> None:
        """No past: the controller keeps what it needs."""

    @property
    def action_delta_indices(self) -> None:
        """No targets: nothing is trained here."""

    @property
    def reward_delta_indices(self) -> None:
        """No rewards: nothing is trained here."""

    def get_optimizer_preset(self) -> None:
        """Raise NotImplementedError: a served policy is finetuned by `handover finetune`."""
        raise NotImplementedError("a served policy is finetuned by handover finetune")

    def get_scheduler_preset(self) -> None:
        """No schedule: nothing is trained here."""

    def validate_features(self) -> None:
        """Nothing: the server says what it wants, and it is checked before the first action."""
