"""The settings of `handover finetune`; their defaults are the original finetuning's."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Optional

# typing.Optional: tyro checks such a default without importing typeguard, which would take a third
# of the time of --help
# ruff: noqa: UP045

# those of transformers that need no further numbers
Schedule = Literal[
    "cosine",
    "cosine_with_restarts",
    "linear",
    "polynomial",
    "inverse_sqrt",
    "constant",
    "constant_with_warmup",
]


@dataclass(frozen=True)
class FinetuneConfig:
    """Finetune a GR00T N1.6 checkpoint on GR00T datasets.

    An interrupted run goes on from its last whole checkpoint when the same command is given again.
    """

    dataset_path: tuple[Path, ...]
    """Folder of a GR00T dataset (handover convert makes one), or several to mix."""
    base_model_path: str = "nvidia/GR00T-N1.6-3B"
    """Checkpoint to start from: a folder, or a name on the hub."""
    embodiment_tag: str = "GR1"
    """Embodiment whose slot is trained; new_embodiment for a robot of one's own."""
    modality_config_path: Optional[Path] = None
    """File that says which groups, in which order, relative or not. It is read as data and never
    run. ALOHA's by default where the tag is GR1."""
    output_dir: Path = Path("outputs/finetune")
    """Folder for checkpoint-N, the finished checkpoint, and the logs."""
    resume: bool = False
    """Go on with a run although the schedule changed (more --max-steps, say)."""
    overwrite: bool = False
    """Remove the earlier run in the output folder and start again."""
    tokenizer: Optional[Path] = None
    """Folder of the tokenizer's files, where the base checkpoint brings none."""

    max_steps: int = 10_000
    """Optimiser steps in all."""
    global_batch_size: int = 64
    """Samples per optimiser step: over all processes and accumulated micro-batches."""
    gradient_accumulation_steps: int = 1
    """Micro-batches that a step is divided into; more need less memory."""
    learning_rate: float = 1e-4
    """Peak learning rate of AdamW."""
    lr_scheduler_type: Schedule = "cosine"
    """How the learning rate falls after the warm-up; transformers' names."""
    warmup_ratio: float = 0.05
    """Share of the steps over which the learning rate rises."""
    weight_decay: float = 1e-5
    """AdamW's weight decay; not on biases and norms."""
    max_grad_norm: float = 1.0
    """Longer gradients are shortened to this length."""
    seed: int = 42
    """Of everything random: order, augmentation, noise, dropout, which episodes are held out."""

    tune_projector: bool = True
    """Train the state and action encoders and the action decoder."""
    tune_diffusion_model: bool = True
    """Train the diffusion transformer."""
    tune_vlln: bool = True
    """Train the norm between backbone and action head."""
    tune_llm: bool = False
    """Train the whole language model."""
    tune_visual: bool = False
    """Train the vision tower and its projector."""
    tune_top_llm_layers: Optional[int] = None
    """Train this many of the last language layers whatever --tune-llm says. By default as the base
    checkpoint's config.json says, which is what the original did (4 in the published one)."""
    lora_rank: int = 0
    """Train low-rank adapters of this rank instead of whole matrices; 0 for none."""
    state_dropout_prob: Optional[float] = None
    """How often a sample's state is hidden from the network; the base's own by default."""
    trained_slots: Literal["varying", "all"] = "varying"
    """Action slots that count in the loss: those that vary in the data, or all (the original's)."""
    use_base_statistics: bool = False
    """Normalise with the base checkpoint's statistics of this tag instead of the datasets'."""

    random_crop: bool = True
    """Crop training images at random places instead of at the centre."""
    color_jitter_params: dict[str, float] = field(default_factory=dict)
    """Range of brightness, contrast, saturation and hue: brightness 0.3 contrast 0.4 …"""
    random_rotation_angle: Optional[float] = None
    """Rotate training images by up to this many degrees."""

    val_episodes: Optional[int] = None
    """Episodes of each dataset that are held out; a tenth of them by default."""
    eval_steps: Optional[int] = None
    """Steps between open-loop measurements on the held-out episodes; as --save-steps by default."""
    save_steps: int = 1000
    """Steps between checkpoints."""
    save_total_limit: int = 5
    """Checkpoints to keep; the best one stays beside the newest."""
    logging_steps: int = 10
    """Steps between log entries."""
    report_to: tuple[str, ...] = ("tensorboard",)
    """Where curves go: tensorboard, wandb, none."""

    dataloader_num_workers: int = 2
    """Processes that prepare samples, for each training process."""
    cache_dir: Path = Path("~/.cache/handover/frames")
    """Folder of decoded frames, shared by all runs."""
    device: Literal["auto", "cpu"] = "auto"
    """auto takes the GPU where there is one."""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    """What is computed in; trained weights are float32. auto is bfloat16 on a GPU."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, more time."""
    fsdp: bool = False
    """Divide weights and optimiser among several GPUs (torch's FSDP2)."""
    fsdp_config: Optional[Path] = None
    """JSON file with FSDP's options, as transformers has them."""
    deepspeed: Optional[Path] = None
    """JSON file with DeepSpeed's configuration."""

    @property
    def tag(self) -> str:
        """The embodiment's tag as checkpoints write it."""
        return self.embodiment_tag.lower()
