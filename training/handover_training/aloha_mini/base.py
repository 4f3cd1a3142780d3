"""The base that ships: a backbone that has seen the simulator's scenes, and a new head."""

import dataclasses
from pathlib import Path

from handover_model.checkpoints import write_card
from handover_model.network import Gr00tNetwork
from handover_model.processing import NormalizeOptions, ProcessorConfig
from handover_proto import CHUNK_STEPS

from handover_training.aloha_mini.checkpoint import put_backbone, write_mini
from handover_training.aloha_mini.configs import BaseConfig
from handover_training.aloha_mini.data.snapshots import snapshot_files
from handover_training.aloha_mini.network import SHIPPED, WIDTH, draw_network
from handover_training.aloha_mini.processing import IMAGE, IMAGE_EDGE
from handover_training.checkpoints.folders import write_json
from handover_training.checkpoints.record import RECORD_FILE


def write_base(config: BaseConfig) -> Path:
    """Write the checkpoint folder; an existing one is replaced. Raises TrainingError."""
    network = draw_network(SHIPPED, config.seed)
    put_backbone(network, config.backbone)
    processor = ProcessorConfig(
        modalities={},
        statistics={},
        normalize=NormalizeOptions(use_relative_action=True),
        image=IMAGE,
        max_state_dim=WIDTH,
        max_action_dim=WIDTH,
        max_action_horizon=CHUNK_STEPS,
    )
    write_mini(config.output, network, processor)
    seeds = sorted(int(path.stem) for path in snapshot_files(config.snapshots))
    write_json(config.output / RECORD_FILE, {"trained_on": [], "snapshots_of_seeds": seeds})
    write_card(config.output, _card(config.output.resolve().name, network))
    return config.output


def _card(name: str, network: Gr00tNetwork) -> str:
    counts = [
        sum(weight.numel() for weight in part.parameters())
        for part in (network.backbone, network.action_head)
    ]
    vision = dataclasses.asdict(network.eagle.vision_config)
    return f"""---
license: apache-2.0
library_name: handover
pipeline_tag: robotics
---

# {name}

A base to finetune, at a size that two CPU cores can train: GR00T N1.6's architecture, a backbone
that has learnt to see gym-aloha's scenes, and a head that has learnt nothing. It cannot be served:
`handover finetune --base-model-path checkpoints/{name}` makes a policy of it.

- Backbone: {counts[0]:,} weights; a vision tower of {vision["num_hidden_layers"]} layers (width
  {vision["hidden_size"]}, {IMAGE_EDGE} x {IMAGE_EDGE} pixels) and {network.config.select_layer}
  language layers. It was pre-trained to tell where cube, peg and socket are in rendered snapshots
  of gym-aloha's two scenes: the objects on the table or above it, the arms wherever the scripted
  experts' arms come by, and in mirror image. **It saw no demonstration**: images, sentences and the
  objects' positions, but no action and no sequence.
- Head: {counts[1]:,} weights, random, drawn large enough to be trained from nothing.
- Chunks of up to {CHUNK_STEPS} steps, up to {WIDTH} numbers of state and of action, one embodiment.
- None of its weights come from NVIDIA's checkpoint. It has seen the simulator alone.
- How it was made: `training/recipes/RESULTS.md`; from nothing: `training/recipes/aloha_mini.sh`.
"""
