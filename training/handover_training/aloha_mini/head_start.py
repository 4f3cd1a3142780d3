"""What the head stage begins with: the vision stage's backbone, or a checkpoint that is there."""

from dataclasses import dataclass
from pathlib import Path

from handover_model.checkpoints import load_checkpoint, open_weights
from handover_model.network import Gr00tNetwork
from handover_model.processing import TAG, EmbodimentStatistics
from torch import Tensor

from handover_training.aloha_mini.network import draw_network
from handover_training.aloha_mini.train_head import HeadConfig
from handover_training.errors import TrainingError


@dataclass(frozen=True)
class HeadStart:
    """A network whose backbone is frozen."""

    network: Gr00tNetwork
    statistics: EmbodimentStatistics | None
    """What its head's states and actions are normalised with; None for a new head"""


def open_start(config: HeadConfig) -> HeadStart:
    """Open what the run begins with. Raises TrainingError, CheckpointError."""
    if (config.backbone is None) == (config.start is None):
        raise TrainingError(
            "expected either --backbone (a new head) or --start (a checkpoint's head), got "
            f"{'neither' if config.start is None else 'both'}"
        )
    if config.backbone is not None:
        start = HeadStart(_with_backbone(config.backbone, config.seed), None)
    else:
        assert config.start is not None
        start = _from_checkpoint(config.start)
    start.network.backbone.requires_grad_(False)
    return start


def _with_backbone(path: Path, seed: int) -> Gr00tNetwork:
    """Draw the network and put in the backbone of the vision stage."""
    network = draw_network(seed)
    missing, unknown = network.load_state_dict(_weights(path), strict=False)
    lacking = [name for name in missing if not name.startswith("action_head.")]
    if lacking or unknown:
        raise TrainingError(
            f"{path} is not the backbone of this network: it lacks {lacking[:3]} and "
            f"has {unknown[:3]}; make it with handover_training.aloha_mini.locate_objects (--backbone)"
        )
    return network.eval()


def _weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise TrainingError(
            f"{path} is not a file; make it with handover_training.aloha_mini.locate_objects (--backbone)"
        )
    with open_weights(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _from_checkpoint(folder: Path) -> HeadStart:
    """Load a checkpoint that train_head or ship_mini wrote."""
    checkpoint = load_checkpoint(folder)
    if _shapes(checkpoint.network) != _shapes(draw_network(seed=0)):
        raise TrainingError(
            f"{folder} is not a checkpoint of the small network that handover_training.aloha_mini.train_head "
            "trains (--start); finetune others with handover finetune"
        )
    return HeadStart(checkpoint.network, checkpoint.processor_config.statistics[TAG])


def _shapes(network: Gr00tNetwork) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}
