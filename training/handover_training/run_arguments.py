"""The settings of a run as transformers and the run folder want them."""

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedType, PartialState
from handover_model.modality import ModalityConfig, modality_config_json
from handover_proto.errors import UsageError
from transformers.training_args import TrainingArguments

from handover_training.finetune_config import FinetuneConfig
from handover_training.recordings import Source

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
REPORTERS = {"tensorboard": "tensorboard", "wandb": "wandb"}


def check_settings(settings: FinetuneConfig) -> None:
    """Raise UsageError for numbers that make no sense and for reporters that are not installed."""
    for name in (
        "max_steps",
        "global_batch_size",
        "gradient_accumulation_steps",
        "save_steps",
        "save_total_limit",
        "logging_steps",
    ):
        if getattr(settings, name) < 1:
            raise UsageError(f"{_flag(name)} is {getattr(settings, name)}, expected 1 or more")
    if settings.eval_steps is not None and settings.eval_steps < 1:
        raise UsageError(f"--eval-steps is {settings.eval_steps}, expected 1 or more")
    if settings.lora_rank < 0 or settings.dataloader_num_workers < 0:
        raise UsageError("--lora-rank and --dataloader-num-workers: expected 0 or more")
    share = settings.state_dropout_prob
    if share is not None and not 0 <= share <= 1:
        raise UsageError(f"--state-dropout-prob is {share}, expected 0 to 1")
    jitters = ("brightness", "contrast", "saturation", "hue")
    for name, width in settings.color_jitter_params.items():
        if name not in jitters or width < 0:
            raise UsageError(f"--color-jitter-params {name} {width}: expected {', '.join(jitters)}")
    for name in settings.report_to:
        if name == "none":
            continue
        if name not in REPORTERS:
            raise UsageError(f"--report-to {name}: expected {', '.join(REPORTERS)} or none")
        if importlib.util.find_spec(REPORTERS[name]) is None:
            raise UsageError(f"--report-to {name}: pip install {REPORTERS[name]}, or choose none")


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
    settings: FinetuneConfig, modality: ModalityConfig, sources: list[Source], base_hash: str
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


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
