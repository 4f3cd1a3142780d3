"""Make a small checkpoint with random weights, in the full layout, for any machine to run.

python -m handover_training.aloha_mini.random_checkpoint --dataset-path DATASET --output checkpoints/aloha-mini
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from handover_common import exit_status

MAX_DIM = 32  # room for the 29 slots of state and action


@dataclass(frozen=True)
class MiniConfig:
    """Make a small checkpoint with random weights from a GR00T dataset's statistics."""

    dataset_path: Path
    """The GR00T dataset whose statistics and control rate the checkpoint takes"""
    output: Path
    """The checkpoint folder to make; it must not exist"""
    seed: int = 0
    """Seed of the random weights"""


def main(config: MiniConfig) -> Path:
    """Make the checkpoint and give its folder."""
    from handover_model.checkpoints import (
        dataset_metadata,
        random_weights_card,
        save_checkpoint,
        write_card,
    )
    from handover_model.processing import (
        aloha_processor,
        dataset_statistics,
        in_slot,
    )

    from handover_training.aloha_mini.random_network import draw_network, zero_unused
    from handover_training.aloha_mini.tokenizer import save_tokenizer, train_tokenizer

    statistics = dataset_statistics(config.dataset_path)
    processor = aloha_processor(statistics, max_state_dim=MAX_DIM, max_action_dim=MAX_DIM)
    processor = in_slot(processor, 0)
    tokenizer = train_tokenizer()
    network = draw_network(tokenizer, processor, config.seed)
    with tempfile.TemporaryDirectory() as folder:
        save_tokenizer(tokenizer, Path(folder))
        save_checkpoint(
            config.output,
            network,
            processor,
            metadata=dataset_metadata(config.dataset_path),
            tokenizer=Path(folder),
            unused=zero_unused(network.eagle),
        )
    weights = sum(weight.numel() for weight in network.parameters())
    name = config.output.resolve().name
    card = random_weights_card(name, network.config, processor, weights, config.seed)
    write_card(config.output, card)
    return config.output


def cli() -> None:
    """Parse the command line and make the checkpoint."""
    import tyro

    print(main(tyro.cli(MiniConfig)))


if __name__ == "__main__":
    raise SystemExit(exit_status(cli))
