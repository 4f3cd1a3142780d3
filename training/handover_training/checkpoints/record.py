"""Training record of a checkpoint: for the server in handover.json, in full beside it.

training_record.json holds the episodes trained on and held out, the command, the settings, the
modality config and the versions, so that a checkpoint can be made again.
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
from handover_model.processing import ModalityConfig, modality_config_json

from handover_training.checkpoints.folders import write_json
from handover_training.data.episodes import DatasetSplit

RECORD_FILE = "training_record.json"
PACKAGES = ("handover", "torch", "transformers", "accelerate", "peft", "numpy", "safetensors")


@dataclass(frozen=True)
class RunRecord:
    """Everything that is recorded about a run."""

    sources: Sequence[DatasetSplit]
    modality: ModalityConfig
    tag: str
    settings: Mapping[str, Any]
    """The settings that decide the result, as JSON values"""

    def notes(self) -> CheckpointMetadata:
        """Return the part that the server reads."""
        return CheckpointMetadata(
            rate_hz=self.sources[0].dataset.fps,
            units=_units(self.sources, self.modality),
            camera_sizes=_camera_sizes(self.sources[0], self.modality),
            training=tuple(source.record() for source in self.sources),
            max_delay_steps=int(self.settings.get("max_delay_steps", 0)),
        )

    def write(self, folder: Path, progress: Mapping[str, Any]) -> None:
        """Write training_record.json; progress: the step and the metrics at this point."""
        content = {
            "rate_hz": self.sources[0].dataset.fps,
            "trained_on": [dataclasses.asdict(source.record()) for source in self.sources],
            "embodiment_tag": self.tag,
            "modality_config": modality_config_json(self.modality),
            "command": sys.argv,
            "settings": dict(self.settings),
            "progress": dict(progress),
            "versions": {"python": platform.python_version(), **package_versions(PACKAGES)},
        }
        write_json(folder / RECORD_FILE, content)


def _units(sources: Sequence[DatasetSplit], modality: ModalityConfig) -> dict[str, str]:
    """Return the units of the policy's groups that every dataset states, and alike."""
    stated = [stated_units(source.dataset) for source in sources]
    groups = {*modality.state.keys, *modality.action.keys}
    said = {name: {units.get(name, "") for units in stated} for name in sorted(groups)}
    return {
        name: units.pop() for name, units in said.items() if len(units) == 1 and "" not in units
    }


def _camera_sizes(source: DatasetSplit, modality: ModalityConfig) -> dict[str, tuple[int, int]]:
    """Return the cameras' (height, width), as far as the dataset's meta/info.json tells."""
    sizes = {name: source.dataset.frame_size(name) for name in modality.video.keys}
    return {name: size for name, size in sizes.items() if size is not None}
