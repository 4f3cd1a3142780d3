"""Settings of `handover card`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from handover_common import UsageError

# ruff: noqa: UP045


@dataclass(frozen=True)
class CardConfig:
    """Write up to which latency a checkpoint succeeds into its handover.json and README.md."""

    checkpoint: Path
    """Checkpoint folder that was served."""
    runs: tuple[Path, ...]
    """Folders of `handover rollout --suite latency`, or their metrics.json: one for each task."""
    embodiment_tag: Optional[str] = None
    """Embodiment that was served, if the checkpoint has several."""
    tokenizer: Optional[Path] = None
    """Folder of the tokenizer's files that was served with, if the checkpoint has none."""


def check(config: CardConfig) -> None:
    """Raise UsageError unless there are a checkpoint folder and runs."""
    if not config.checkpoint.is_dir():
        raise UsageError(
            f"{config.checkpoint} is no folder; expected a checkpoint's (--checkpoint)"
        )
    if not config.runs:
        raise UsageError("--runs: expected the folder of at least one latency suite")
