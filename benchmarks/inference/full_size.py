"""A checkpoint of the published sizes with random weights, to serve and to finetune: 6 GB.

    python -m benchmarks.inference.full_size --output DIR [--horizon 50] [--device cuda]

No time depends on the values of weights. Processor and tokenizer are the small checkpoint's.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from handover_model.checkpoints import load_metadata, save_checkpoint
from handover_model.network import CONFIG_FILE, unused_shapes

from benchmarks.harness.result_file import write_result
from benchmarks.inference.networks import choose_subject


@dataclass(frozen=True)
class FullSize:
    """Write a checkpoint of the published sizes."""

    output: Path
    """Folder to make; one that exists is kept as it is"""
    checkpoint: Path = Path("checkpoints/aloha-mini")
    """Whose processor and tokenizer it gets"""
    horizon: int | None = 50
    """Steps of a chunk; None copies the small checkpoint's own network instead, for a trial"""
    device: str = "auto"
    """Where the weights are drawn"""
    name: str = "full_size"
    """What was written is told in benchmarks/results/NAME.json"""


def main(config: FullSize) -> None:
    """Draw the weights in bfloat16 and write the folder."""
    if not (config.output / CONFIG_FILE).exists():
        _write(config)
    weights = sum(path.stat().st_size for path in config.output.glob("*.safetensors"))
    write_result(config.name, {"horizon": config.horizon, "weights_mb": round(weights / 1e6, 1)})


def _write(config: FullSize) -> None:
    subject = choose_subject(
        config.checkpoint, config.horizon, config.device, "bfloat16", (256, 256)
    )
    drawn = subject.load()
    unused = unused_shapes(drawn.network.eagle)
    save_checkpoint(
        config.output,
        drawn.network,
        drawn.processor_config,
        metadata=load_metadata(config.checkpoint),
        tokenizer=config.checkpoint,
        unused={key: torch.zeros(shape, dtype=torch.bfloat16) for key, shape in unused.items()},
    )


if __name__ == "__main__":
    main(tyro.cli(FullSize))
