"""Settings of `handover finetune`; their defaults are the original finetuning's."""

import importlib.util
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Optional

from handover_common import UsageError, check_range

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

    The same command continues an interrupted run from its last complete checkpoint.
    """

    dataset_path: tuple[Path, ...]
    """Folder of a GR00T dataset (made by handover convert), or several to mix."""
    base_model_path: str = "nvidia/GR00T-N1.6-3B"
    """Checkpoint to start from: a folder, or a name on the Hub."""
    embodiment_tag: tuple[str, ...] = ("GR1",)
    """Embodiment whose slot is trained; new_embodiment for your own robot. Datasets of several are
    trained on together by DATASET=TAG for each, by the folders' names."""
    modality_config_path: tuple[str, ...] = ()
    """File that lists the groups, their order, and which are relative; TAG=FILE where there are
    several embodiments. It is read as data and never executed. The default, for the tag GR1 alone,
    is ALOHA's."""
    output_dir: Path = Path("outputs/finetune")
    """Folder for checkpoint-N, the finished checkpoint, and the logs."""
    resume: bool = False
    """Continue a run although its schedule changed (more --max-steps, for example)."""
    overwrite: bool = False
    """Remove the earlier run in the output folder and start over."""
    tokenizer: Optional[Path] = None
    """Folder of the tokenizer's files, if the base checkpoint has none."""

    max_steps: int = 10_000
    """Total optimizer steps."""
    global_batch_size: int = 64
    """Samples per optimizer step, over all processes and accumulated micro-batches."""
    gradient_accumulation_steps: int = 1
    """Micro-batches per optimizer step and process; more of them need less memory."""
    learning_rate: float = 1e-4
    """Peak learning rate of AdamW."""
    lr_scheduler_type: Schedule = "cosine"
    """Learning-rate schedule after the warm-up, by transformers' names."""
    warmup_ratio: float = 0.05
    """Fraction of the steps over which the learning rate rises."""
    weight_decay: float = 1e-5
    """Weight decay of AdamW; biases and norms have none."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this norm."""
    ema_decay: float = 0.0
    """Decay per step of a moving average of the trained weights, which is then what is evaluated
    and served (0.995, for example); 0 for none."""
    seed: int = 42
    """Seed of everything random: order, augmentation, noise, dropout, held-out episodes."""

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
    """Train this many of the last language layers whatever --tune-llm says. By default the number
    in the base checkpoint's config.json (4 in the published one), as the original did."""
    lora_rank: int = 0
    """Train LoRA adapters of this rank instead of whole matrices; 0 for none."""
    state_dropout_prob: Optional[float] = None
    """Probability that a sample's state is hidden from the network; by default the base's."""
    max_delay_steps: int = 0
    """Learn real-time chunking: chunks that continue up to this many given steps (training-time
    action conditioning, arXiv:2512.05964). At 20 Hz, 8 steps make up for 400 ms. 0 for none."""
    trained_slots: Literal["varying", "all"] = "varying"
    """Action slots that count in the loss: those that vary in the data, or all (the original)."""
    mix: tuple[str, ...] = ()
    """Shares of the samples by dataset, NAME=SHARE by the folders' names; by default datasets count
    by their rows."""
    state_noise: float = 0.0
    """Standard deviation of errors (rad) added to the states of half of the samples, in the groups
    that actions are relative to; the absolute targets stay. A policy learns to recover by it."""
    use_base_statistics: bool = False
    """Normalize with the base checkpoint's statistics of this tag instead of the datasets'."""

    random_crop: bool = True
    """Crop training images at random places instead of at the center."""
    color_jitter_params: dict[str, float] = field(default_factory=dict)
    """Ranges of the color jitter: brightness 0.3 contrast 0.4 saturation 0.5 hue 0.08, or some."""
    random_rotation_angle: Optional[float] = None
    """Largest random rotation of training images, in degrees."""
    image_views: Optional[int] = None
    """Random views of each frame in a whole run; 0 for a new one at every sample. By default 8 with
    cached features, and 0 without."""
    cache_features: bool = True
    """Compute what the frozen part of the backbone makes of each view once, and keep it in
    --cache-dir. Not possible with --tune-visual or --tune-llm."""

    val_episodes: Optional[int] = None
    """Episodes to hold out of each dataset; a tenth of them by default."""
    eval_steps: Optional[int] = None
    """Steps between open-loop evaluations on the held-out episodes; --save-steps by default."""
    save_steps: int = 1000
    """Steps between checkpoints."""
    save_total_limit: int = 5
    """Checkpoints to keep; the best one is kept in addition to the newest."""
    logging_steps: int = 10
    """Steps between log entries."""
    report_to: tuple[str, ...] = ("tensorboard",)
    """Where curves are written: tensorboard, wandb, none."""

    dataloader_num_workers: int = 2
    """Worker processes that prepare samples, per training process."""
    cache_dir: Path = Path("~/.cache/handover/frames")
    """Folder of decoded frames, frozen features and computed statistics, shared by all runs."""
    device: Literal["auto", "cpu"] = "auto"
    """auto takes the GPU if there is one."""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    """Precision of the computation; trained weights are float32. auto is bfloat16 on a GPU."""
    gradient_checkpointing: bool = False
    """Recompute activations instead of keeping them: less memory, more time."""
    fsdp: bool = False
    """Shard weights and optimizer states among several GPUs (torch's FSDP2)."""
    fsdp_config: Optional[Path] = None
    """JSON file with FSDP options, as in transformers."""
    deepspeed: Optional[Path] = None
    """JSON file with DeepSpeed's configuration."""

    def tags(self) -> tuple[str, ...]:
        """Return the embodiment's tag of each dataset, as checkpoints write it.

        Raises UsageError for what is neither one TAG, nor NAME=TAG for every dataset once.
        """
        names = self._folder_names()
        if len(self.embodiment_tag) == 1 and "=" not in self.embodiment_tag[0]:
            return (self.embodiment_tag[0].lower(),) * len(names)
        parts = [part.rpartition("=") for part in self.embodiment_tag]
        tags = {name: tag.lower() for name, _, tag in parts}
        if sorted(name for name, _, _ in parts) != sorted(names) or not all(tags.values()):
            raise UsageError(
                f"--embodiment-tag {' '.join(self.embodiment_tag)}: expected one TAG, or NAME=TAG "
                f"once for each of the folders {', '.join(names)}"
            )
        return tuple(tags[name] for name in names)

    def modality_files(self) -> dict[str, Path]:
        """Return the modality configs' files by embodiment tag.

        Raises UsageError for what is neither one FILE for one embodiment, nor TAG=FILE.
        """
        tags = set(self.tags())
        files: dict[str, Path] = {}
        for one in self.modality_config_path:
            tag, equals, path = str(one).partition("=")
            if not equals or tag.lower() not in tags:
                tag, path = (next(iter(tags)) if len(tags) == 1 else ""), str(one)
            if not tag or not path or tag.lower() in files:
                raise UsageError(
                    f"--modality-config-path {one}: expected TAG=FILE, once for each of "
                    f"{', '.join(sorted(tags))}"
                )
            files[tag.lower()] = Path(path)
        return files

    @property
    def views(self) -> int:
        """Number of views of each frame; 0 for a new one at every sample."""
        changes = self.color_jitter_params or self.random_rotation_angle
        if not (self.random_crop or changes):
            return 1
        if self.image_views is not None:
            return self.image_views
        return CACHED_VIEWS if self.caches_features else 0

    @property
    def caches_features(self) -> bool:
        """Whether frozen features are computed once."""
        possible = not (self.tune_visual or self.tune_llm) and self.image_views != 0
        return self.cache_features and possible

    def shares(self) -> dict[str, float]:
        """Return the datasets' shares of the samples (--mix); their sum is 1.

        Raises UsageError for what is not NAME=SHARE, or does not name every dataset once.
        """
        parts = [part.rpartition("=") for part in self.mix]
        names = self._folder_names()
        try:
            shares = {name: float(share) for name, _, share in parts}
        except ValueError:
            shares = {}
        fits = sorted(shares) == sorted(names) and len(parts) == len(names)
        if not fits or not all(0 < share < float("inf") for share in shares.values()):
            raise UsageError(
                f"--mix {' '.join(self.mix)}: expected NAME=SHARE, more than 0, once for each of "
                f"the folders {', '.join(names)}"
            )
        return {name: shares[name] / sum(shares.values()) for name in names}

    def _folder_names(self) -> list[str]:
        return [path.resolve().name for path in self.dataset_path]


CACHED_VIEWS = 8
REPORTERS = {"tensorboard": "tensorboard", "wandb": "wandb"}


def check(config: FinetuneConfig) -> None:
    """Raise UsageError for values that make no sense, and for packages that are not installed."""
    if config.resume and config.overwrite:
        raise UsageError("--resume continues a run and --overwrite removes it: choose one of them")
    check_range(config, "max_steps", "global_batch_size", "gradient_accumulation_steps", least=1)
    check_range(config, "save_steps", "eval_steps", "logging_steps", "save_total_limit", least=1)
    check_range(config, "seed", least=0, most=2**32 - 1)  # numpy's
    check_range(config, "warmup_ratio", "state_dropout_prob", "ema_decay", least=0, most=1)
    check_range(config, "learning_rate", "weight_decay", "random_rotation_angle", least=0)
    check_range(config, "lora_rank", "tune_top_llm_layers", "dataloader_num_workers", least=0)
    check_range(config, "state_noise", "image_views", "max_delay_steps", least=0)
    if config.mix:
        config.shares()
    if config.ema_decay and (config.deepspeed or config.fsdp):
        raise UsageError("--ema-decay needs whole weights: leave out --fsdp and --deepspeed")
    if not config.max_grad_norm > 0:
        raise UsageError(
            f"--max-grad-norm is {config.max_grad_norm}, expected more than 0 (inf clips none)"
        )
    jitters = ("brightness", "contrast", "saturation", "hue")
    for name, width in config.color_jitter_params.items():
        if name not in jitters or not width >= 0:
            raise UsageError(
                f"--color-jitter-params {name} {width}: expected {', '.join(jitters)}, each with "
                "0 or more"
            )
    for name in config.report_to:
        if name == "none":
            continue
        if name not in REPORTERS:
            raise UsageError(f"--report-to {name}: expected {', '.join(REPORTERS)} or none")
        if importlib.util.find_spec(REPORTERS[name]) is None:
            raise UsageError(f"--report-to {name}: pip install {REPORTERS[name]}, or choose none")
    if config.fsdp_config is not None and not config.fsdp:
        raise UsageError("--fsdp-config needs --fsdp")
    for name in ("fsdp_config", "deepspeed"):
        if getattr(config, name) is not None:
            _check_json(name, getattr(config, name))
    if config.deepspeed is not None and importlib.util.find_spec("deepspeed") is None:
        raise UsageError("--deepspeed: pip install deepspeed, or leave it out")


def _check_json(name: str, path: Path) -> None:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{_flag(name)} {path} cannot be read as JSON: {error}") from None


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
