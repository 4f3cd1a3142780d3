"""Training record of a checkpoint: for the server in handover.json, in full beside it.

training_record.json holds the episodes trained on and held out, the command, the settings, the
modality configs and the versions, so that a checkpoint can be made again.
"""

import dataclasses
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handover_common import package_versions
from handover_conversion.groot import stated_units
from handover_model.checkpoints import CheckpointMetadata

from handover_training.checkpoints.folders import write_json
from handover_training.data.episodes import DatasetSplit, modality_configs

RECORD_FILE = "training_record.json"
PACKAGES = ("handover", "torch", "transformers", "accelerate", "peft", "numpy", "safetensors")


@dataclass(frozen=True)
class RunRecord:
    """Everything that is recorded about a run."""

    sources: Sequence[DatasetSplit]
    settings: Mapping[str, Any]
    """The settings that decide the result, as JSON values"""

    def notes(self) -> CheckpointMetadata:
        """Return the part that the server reads."""
        return CheckpointMetadata(
            rate_hz=self.sources[0].dataset.fps,
            units=_units(self.sources),
            camera_sizes=_camera_sizes(self.sources),
            training=tuple(source.record() for source in self.sources),
            max_delay_steps=int(self.settings.get("max_delay_steps", 0)),
        )

    def write(self, folder: Path, progress: Mapping[str, Any]) -> None:
        """Write training_record.json; progress: the step and the metrics at this point."""
        content = {
            "rate_hz": self.sources[0].dataset.fps,
            "trained_on": [dataclasses.asdict(source.record()) for source in self.sources],
            "embodiment_tags": [source.embodiment.tag for source in self.sources],
            "modality_configs": modality_configs(self.sources),
            "command": sys.argv,
            "settings": dict(self.settings),
            "progress": dict(progress),
            "versions": {"python": platform.python_version(), **package_versions(PACKAGES)},
        }
        write_json(folder / RECORD_FILE, content)


def _units(sources: Sequence[DatasetSplit]) -> dict[str, str]:
    """Return the units of the policy's groups that every dataset with them states, and alike."""
    said: dict[str, set[str]] = {}
    for source in sources:
        units, modality = stated_units(source.dataset), source.embodiment.modality
        for name in {*modality.state.keys, *modality.action.keys}:
            said.setdefault(name, set()).add(units.get(name, ""))
    return {
        name: units.pop()
        for name, units in sorted(said.items())
        if len(units) == 1 and "" not in units
    }


def _camera_sizes(sources: Sequence[DatasetSplit]) -> dict[str, tuple[int, int]]:
    """Return the cameras' (height, width), as far as the first dataset with each one tells."""
    sizes: dict[str, tuple[int, int] | None] = {}
    for source in sources:
        for name in source.embodiment.modality.video.keys:
            sizes.setdefault(name, source.dataset.frame_size(name))
    return {name: size for name, size in sizes.items() if size is not None}
