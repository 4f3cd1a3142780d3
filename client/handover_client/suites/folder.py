"""Work folder of a suite: a rollout's folder for each cell, and the videos of pairs.

.NAME.partial/
  cells/     control, and AXIS_STRENGTH: each the folder of a rollout, whole or under way
  videos/    failures, and the control on the same seeds
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handover_common import WorkFolder

from handover_client.rollout.folder import without_told_rate

CONTROL = "control"


class SuiteFolder(WorkFolder):
    """A suite under way."""

    unit = "cells"
    folders = ("cells", "videos")

    def find_change(self, former: Mapping[str, Any], plan: Mapping[str, Any]) -> str | None:
        """See RolloutFolder."""
        return super().find_change(without_told_rate(former), plan)

    def cell(self, name: str) -> Path:
        """Place of a cell's rollout."""
        return self.path / "cells" / name

    def figures(self, name: str) -> dict[str, Any] | None:
        """Read the metrics.json of a finished cell; None while it is not."""
        path = self.cell(name) / "metrics.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def finished_count(self) -> int:
        """Count the finished cells."""
        return len(list(self.path.glob("cells/*/metrics.json")))

    def is_worth_keeping(self) -> bool:
        """Whether an episode is finished: a cell under way goes on too."""
        return any(self.path.glob("cells/*/metrics.json")) or any(
            path.stat().st_size for path in self.path.glob("cells/.*/episodes.jsonl")
        )
