"""Processors of the policy: none, since the server normalises by its checkpoint's statistics."""

# pyright: reportMissingImports=false

from typing import Any

from lerobot.processor import (
    PolicyProcessorPipeline,
    RenameObservationsProcessorStep,
    policy_action_to_transition,
    transition_to_policy_action,
)
from lerobot.utils.constants import (
    POLICY_POSTPROCESSOR_DEFAULT_NAME,
    POLICY_PREPROCESSOR_DEFAULT_NAME,
)

from lerobot_policy_handover.configuration_handover import HandoverConfig


def make_handover_pre_post_processors(
    config: HandoverConfig, dataset_stats: dict[str, Any] | None = None
) -> tuple[PolicyProcessorPipeline, PolicyProcessorPipeline]:
    """Return what LeRobot runs before and after the policy: it changes nothing."""
    before = PolicyProcessorPipeline(
        steps=[RenameObservationsProcessorStep(rename_map={})],
        name=POLICY_PREPROCESSOR_DEFAULT_NAME,
    )
    after = PolicyProcessorPipeline(
        steps=[],
        name=POLICY_POSTPROCESSOR_DEFAULT_NAME,
        to_transition=policy_action_to_transition,
        to_output=transition_to_policy_action,
    )
    return before, after
