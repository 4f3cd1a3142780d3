"""Model card: the README.md of a checkpoint folder."""

from pathlib import Path

from handover_common import write_text

from handover_model.network.config import ModelConfig
from handover_model.processing.processor_config import ProcessorConfig

CARD_FILE = "README.md"


def write_card(folder: Path, text: str) -> None:
    """Write the card atomically."""
    write_text(folder / CARD_FILE, text)


def random_weights_card(
    name: str, config: ModelConfig, processor: ProcessorConfig, weights: int, seed: int
) -> str:
    """Return the card of a checkpoint with random weights."""
    (tag,) = processor.modalities
    modality = processor.modalities[tag]
    dit = config.diffusion_model_cfg
    relative = modality.relative_keys()
    groups = "\n".join(
        f"| {key} | {processor.statistics[tag].action[key].dim} | "
        f"{'relative to the state' if key in relative else 'absolute'} |"
        for key in modality.action.keys
    )
    return f"""---
license: apache-2.0
library_name: handover
pipeline_tag: robotics
---

# {name}

**Random weights, for plumbing only, until trained.** This checkpoint has the layout of GR00T N1.6
at a small size: it loads, serves and gives chunks of the right shape within the range of the data,
but what the robot would do with them means nothing. Do not run it on a robot.

- {weights:,} weights, drawn with seed {seed}; none of them come from NVIDIA's checkpoint.
- {dit.num_layers} transformer blocks of width {dit.width}, {config.num_inference_timesteps}
  denoising steps, chunks of {modality.action.steps} steps.
- Embodiment `{tag}`, camera(s) {", ".join(modality.video.keys)}; the normalization statistics
  are those of the dataset that it was made from.

| action group | dimensions | the network sees it |
|---|---|---|
{groups}
"""
