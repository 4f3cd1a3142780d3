"""Policy of LeRobot whose actions come from a Handover server."""

# pyright: reportMissingImports=false, reportUntypedBaseClass=false
# pyright: reportIncompatibleMethodOverride=false

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from handover_client import PolicyClient
from handover_client.connection import SecurityFlags, read_security
from lerobot.policies import PreTrainedPolicy

from lerobot_policy_handover.batch import ServedBatch
from lerobot_policy_handover.configuration_handover import HandoverConfig

_IMAGES, _STATE, _TASK = "observation.images.", "observation.state", "task"


class HandoverPolicy(PreTrainedPolicy):
    """A served policy; it has no weights here. `select_action` is all that LeRobot needs of it.

    LeRobot's own real-time chunking (--inference.type=rtc) is refused by LeRobot: with
    --policy.clock=wall the actions are real-time chunked already, and never waited for.
    """

    config_class = HandoverConfig
    name = "handover"

    def __init__(self, config: HandoverConfig, **_: Any) -> None:
        """Connect, and check that server and settings fit. Raises HandoverError."""
        super().__init__(config)
        settings = config.settings()
        settings.check()
        flags = SecurityFlags(
            tls=config.tls,
            tls_ca=Path(config.tls_ca) if config.tls_ca else None,
            token_file=Path(config.token_file) if config.token_file else None,
        )
        client = PolicyClient.connect(
            config.server,
            timeout_s=config.connect_timeout_s,
            call_timeout_s=config.call_timeout_s,
            image_codec=config.image_codec,
            security=read_security(flags, os.environ),
        )
        self._batch = ServedBatch(client, settings)

    @classmethod
    def from_pretrained(
        cls, pretrained_name_or_path: Any = None, *, config: HandoverConfig, **_: Any
    ) -> "HandoverPolicy":
        """Make the policy of a configuration: the weights are the server's."""
        return cls(config)

    def reset(self) -> None:
        """Begin new episodes."""
        self._batch.reset()

    @torch.no_grad()
    def select_action(self, batch: dict[str, Any], **_: Any) -> torch.Tensor:
        """Return the targets of the next control step: (B, D), in the robot's units."""
        state = batch[_STATE]
        frames = {
            name.removeprefix(_IMAGES): _pixels(images)
            for name, images in batch.items()
            if name.startswith(_IMAGES)
        }
        tasks = batch.get(_TASK) or ""
        tasks = [tasks] * len(state) if isinstance(tasks, str) else list(tasks)
        targets = self._batch.act(state.cpu().numpy().astype(np.float32), frames, tasks)
        return torch.from_numpy(targets).to(state.device)

    def predict_action_chunk(self, batch: dict[str, Any], **_: Any) -> torch.Tensor:
        """Raise NotImplementedError: chunks are played here, at the control rate."""
        raise NotImplementedError(
            "policy handover gives one action at a time: --inference.type=sync, which does not "
            "wait for the server with --policy.clock=wall"
        )

    def forward(self, batch: dict[str, Any]) -> Any:
        """Raise NotImplementedError: a served policy is finetuned by `handover finetune`."""
        raise NotImplementedError("a served policy is finetuned by handover finetune")

    def get_optim_params(self) -> dict[str, Any]:
        """Nothing is trained here."""
        return {}


def _pixels(images: torch.Tensor) -> np.ndarray:
    """Undo LeRobot's scaling: (B, 3, H, W) in 0 … 1 -> (B, H, W, 3) uint8."""
    array = images.detach().cpu()
    if array.dtype != torch.uint8:
        array = (array.float() * 255).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(array.permute(0, 2, 3, 1).numpy())
