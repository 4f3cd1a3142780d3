"""The settings of a run as transformers and the run folder want them."""

import dataclasses
import importlib.util
import json
import logging
import math
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedType, PartialState
from handover_common import UsageError
from handover_model.processing import ModalityConfig, modality_config_json
from transformers.training_args import TrainingArguments

from handover_training.data.episodes import DatasetSplit
from handover_training.finetuning.config import FinetuneConfig

logger = logging.getLogger(__name__)

# settings that do not change what a run computes, beyond rounding, or that their content stands for
LEFT_OUT = (
    "dataset_path",
    "base_model_path",
    "embodiment_tag",
    "modality_config_path",
    "output_dir",
    "resume",
    "overwrite",
    "tokenizer",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "save_total_limit",
    "logging_steps",
    "report_to",
    "dataloader_num_workers",
    "cache_dir",
    "device",
    "fsdp",
    "fsdp_config",
    "deepspeed",
)
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(
        ("max_steps", "global_batch_size", "gradient_accumulation_steps"), (1, math.inf)
    ),
    **dict.fromkeys(("save_steps", "eval_steps", "logging_steps"), (1, math.inf)),
    "save_total_limit": (1, math.inf),
    "seed": (0, 2**32 - 1),  # numpy's
    "warmup_ratio": (0, 1),
    "state_dropout_prob": (0, 1),
    **dict.fromkeys(("learning_rate", "weight_decay", "random_rotation_angle"), (0, math.inf)),
    **dict.fromkeys(("lora_rank", "tune_top_llm_layers", "dataloader_num_workers"), (0, math.inf)),
}
REPORTERS = {"tensorboard": "tensorboard", "wandb": "wandb"}


def check_settings(settings: FinetuneConfig) -> None:
    """Raise UsageError for what makes no sense, and for packages that are not installed."""
    if settings.resume and settings.overwrite:
        raise UsageError("--resume goes on with a run and --overwrite removes it: say one of them")
    for name, (least, most) in RANGES.items():
        value = getattr(settings, name)
        if value is not None and not least <= value <= most:  # no number is in no range
            expected = f"{least} or more" if most == math.inf else f"{least} to {most}"
            raise UsageError(f"{_flag(name)} is {value}, expected {expected}")
    if not settings.max_grad_norm > 0:
        raise UsageError(
            f"--max-grad-norm is {settings.max_grad_norm}, expected more than 0 (inf shortens none)"
        )
    jitters = ("brightness", "contrast", "saturation", "hue")
    for name, width in settings.color_jitter_params.items():
        if name not in jitters or not width >= 0:
            raise UsageError(
                f"--color-jitter-params {name} {width}: expected {', '.join(jitters)}, each with "
                "0 or more"
            )
    for name in settings.report_to:
        if name == "none":
            continue
        if name not in REPORTERS:
            raise UsageError(f"--report-to {name}: expected {', '.join(REPORTERS)} or none")
        if importlib.util.find_spec(REPORTERS[name]) is None:
            raise UsageError(f"--report-to {name}: pip install {REPORTERS[name]}, or choose none")
    if settings.fsdp_config is not None and not settings.fsdp:
        raise UsageError("--fsdp-config is of use with --fsdp alone")
    for name in ("fsdp_config", "deepspeed"):
        if getattr(settings, name) is not None:
            _check_json(name, getattr(settings, name))
    if settings.deepspeed is not None and importlib.util.find_spec("deepspeed") is None:
        raise UsageError("--deepspeed: pip install deepspeed, or leave it out")


def training_arguments(settings: FinetuneConfig, *, evaluates: bool) -> TrainingArguments:
    """Make transformers' arguments; this also joins the other processes of torchrun."""
    gpu = settings.device == "auto" and torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(settings.output_dir),
        max_steps=settings.max_steps,
        per_device_train_batch_size=1,  # set below, when the number of processes is known
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.lr_scheduler_type,
        warmup_steps=round(settings.warmup_ratio * settings.max_steps),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch",
        seed=settings.seed,
        bf16=settings.precision == "bfloat16" or (gpu and settings.precision == "auto"),
        tf32=True if gpu and torch.cuda.is_tf32_supported() else None,
        use_cpu=not gpu,
        gradient_checkpointing=settings.gradient_checkpointing,
        fsdp=settings.fsdp or None,  # pyright: ignore[reportArgumentType]  # a bool by now
        fsdp_config=None if settings.fsdp_config is None else str(settings.fsdp_config),
        deepspeed=None if settings.deepspeed is None else str(settings.deepspeed),
        ddp_find_unused_parameters=False,
        ddp_backend=("nccl" if gpu else "gloo")
        if torch.distributed.is_torchelastic_launched()
        else None,
        dataloader_num_workers=settings.dataloader_num_workers,
        remove_unused_columns=False,
        label_names=[],
        eval_strategy="steps" if evaluates else "no",
        eval_steps=settings.eval_steps or settings.save_steps,
        metric_for_best_model="open_loop_mse" if evaluates else None,
        greater_is_better=False if evaluates else None,
        save_strategy="steps",
        save_steps=settings.save_steps,
        logging_steps=settings.logging_steps,
        logging_nan_inf_filter=False,
        report_to=[name for name in settings.report_to if name != "none"] or "none",
        disable_tqdm=True,
        ignore_data_skip=True,  # our batches start at the right step by themselves
    )
    if (gpus := arguments.n_gpu) > 1:
        # one process with several: transformers would cut each tensor of a batch up among them
        logger.warning(
            "one of %d GPUs trains; torchrun --nproc_per_node=%d has all of them", gpus, gpus
        )
        arguments._n_gpu = 1
    if settings.fsdp and PartialState().distributed_type != DistributedType.MULTI_GPU:
        raise UsageError(
            "--fsdp divides the network among several GPUs: start it with torchrun on a machine "
            "that has them, or leave it out"
        )
    arguments.per_device_train_batch_size = micro_batch(settings, arguments.world_size)
    return arguments


def micro_batch(settings: FinetuneConfig, world: int) -> int:
    """Divide the global batch; UsageError when it does not come out even."""
    shares = world * settings.gradient_accumulation_steps
    if settings.global_batch_size % shares:
        raise UsageError(
            f"--global-batch-size {settings.global_batch_size} is not a multiple of {world} "
            f"processes x {settings.gradient_accumulation_steps} accumulation steps"
        )
    return settings.global_batch_size // shares


def run_identity(
    settings: FinetuneConfig, modality: ModalityConfig, sources: list[DatasetSplit], base_hash: str
) -> dict[str, Any]:
    """Give what decides a run's result, as JSON values: a run goes on only where they are equal."""
    chosen = {
        name: _plain(value)
        for name, value in dataclasses.asdict(settings).items()
        if name not in LEFT_OUT
    }
    return {
        **chosen,
        "tag": settings.tag,
        "base_weights": base_hash,
        "datasets": [source.content_hash for source in sources],
        "modality_config": modality_config_json(modality),
    }


def _check_json(name: str, path: Path) -> None:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{_flag(name)} {path} cannot be read as JSON: {error}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
