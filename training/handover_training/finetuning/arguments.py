"""A run's settings as transformers' TrainingArguments, and as the run folder's identity."""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedType, PartialState
from handover_common import UsageError
from transformers.training_args import TrainingArguments

from handover_training.checkpoints.folders import BEST_METRIC
from handover_training.data.episodes import DatasetSplit, modality_configs
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
    "cache_features",
    "image_views",
    "device",
    "fsdp",
    "fsdp_config",
    "deepspeed",
)


def training_arguments(settings: FinetuneConfig, *, evaluates: bool) -> TrainingArguments:
    """Make transformers' arguments; this also joins the other processes of torchrun."""
    gpu = settings.device == "auto" and torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(settings.output_dir),
        per_device_train_batch_size=1,  # set below, when the number of processes is known
        seed=settings.seed,
        remove_unused_columns=False,
        label_names=[],
        disable_tqdm=True,
        ignore_data_skip=True,  # our batches start at the right step by themselves
        **_optimization(settings),
        **_devices(settings, gpu),
        **_intervals(settings, evaluates),
    )
    if (gpus := arguments.n_gpu) > 1:
        # one process with several: transformers would cut each tensor of a batch up among them
        logger.warning(
            "one of %d GPUs trains; torchrun --nproc_per_node=%d uses all of them", gpus, gpus
        )
        arguments._n_gpu = 1
    if settings.fsdp and PartialState().distributed_type != DistributedType.MULTI_GPU:
        raise UsageError(
            "--fsdp shards the network among several GPUs: start it with torchrun on a machine "
            "that has them, or leave it out"
        )
    arguments.per_device_train_batch_size = micro_batch(settings, arguments.world_size)
    return arguments


def _optimization(settings: FinetuneConfig) -> dict[str, Any]:
    return {
        "max_steps": settings.max_steps,
        "gradient_accumulation_steps": settings.gradient_accumulation_steps,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.lr_scheduler_type,
        "warmup_steps": round(settings.warmup_ratio * settings.max_steps),
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "optim": "adamw_torch",
    }


def _devices(settings: FinetuneConfig, gpu: bool) -> dict[str, Any]:
    backend = "nccl" if gpu else "gloo"
    return {
        "bf16": settings.precision == "bfloat16" or (gpu and settings.precision == "auto"),
        "tf32": True if gpu and torch.cuda.is_tf32_supported() else None,
        "use_cpu": not gpu,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "fsdp": settings.fsdp or None,
        "fsdp_config": None if settings.fsdp_config is None else str(settings.fsdp_config),
        "deepspeed": None if settings.deepspeed is None else str(settings.deepspeed),
        "ddp_find_unused_parameters": False,
        "ddp_backend": backend if torch.distributed.is_torchelastic_launched() else None,
        "dataloader_num_workers": settings.dataloader_num_workers,
    }


def _intervals(settings: FinetuneConfig, evaluates: bool) -> dict[str, Any]:
    return {
        "eval_strategy": "steps" if evaluates else "no",
        "eval_steps": settings.eval_steps or settings.save_steps,
        "metric_for_best_model": BEST_METRIC if evaluates else None,
        "greater_is_better": False if evaluates else None,
        "save_strategy": "steps",
        "save_steps": settings.save_steps,
        "logging_steps": settings.logging_steps,
        "logging_nan_inf_filter": False,
        "report_to": [name for name in settings.report_to if name != "none"] or "none",
    }


def micro_batch(settings: FinetuneConfig, world: int) -> int:
    """Return one process's micro-batch; UsageError when the global batch does not divide evenly."""
    shares = world * settings.gradient_accumulation_steps
    if settings.global_batch_size % shares:
        raise UsageError(
            f"--global-batch-size {settings.global_batch_size} is not a multiple of {world} "
            f"processes x {settings.gradient_accumulation_steps} accumulation steps"
        )
    return settings.global_batch_size // shares


def run_identity(
    settings: FinetuneConfig,
    sources: list[DatasetSplit],
    base: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what decides a run's result, as JSON values: a run continues only if all are equal.

    base: the same of the base checkpoint.
    """
    chosen = {
        name: _plain(value)
        for name, value in dataclasses.asdict(settings).items()
        if name not in LEFT_OUT
    }
    return {
        **chosen,
        **base,
        "views": settings.views,
        "datasets": [source.content_hash for source in sources],
        "tags": [source.embodiment.tag for source in sources],
        "modality_configs": modality_configs(sources),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value
