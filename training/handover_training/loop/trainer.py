"""transformers' Trainer with our batches, checkpoints and stop on divergence.

What is random comes with the batches, so no random state is saved. Optimizer states are kept as
safetensors; only DeepSpeed, which shards them over processes, uses its own files.
"""

import dataclasses
from collections import deque
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from transformers.trainer import Trainer
from transformers.training_args import TrainingArguments

from handover_training.checkpoints import folders
from handover_training.checkpoints.optimizer_state import load_optimizer, save_optimizer
from handover_training.checkpoints.writer import CheckpointWriter, read_averages
from handover_training.errors import DivergedError, TrainingError
from handover_training.loop.averaging import AverageCallback
from handover_training.loop.loader import TrainingData
from handover_training.loop.sharding import (
    BFLOAT16_WEIGHTS,
    gather_for,
    put_optimizer,
    whole_optimizer,
    whole_weights,
)
from handover_training.loop.validation import ErrorSums
from handover_training.network.averages import AveragedWeights
from handover_training.network.training_module import TrainingModule


class FinetuneTrainer(Trainer):
    """Trains a TrainingModule."""

    def __init__(
        self,
        module: TrainingModule,
        arguments: TrainingArguments,
        data: TrainingData,
        writer: CheckpointWriter,
        keep: int,
        ema_decay: float = 0.0,
    ) -> None:
        """keep: how many checkpoints to keep, not counting the best one.

        ema_decay: of the averaged weights that are evaluated and written; 0 for none.
        """
        evaluated = None if data.open_loop is None else cast(Any, data.windows)
        super().__init__(
            model=module,
            args=arguments,
            train_dataset=cast(Any, data.windows),
            eval_dataset=evaluated,
            data_collator=cast(Any, data.collator),
        )
        self.module = module
        self._data, self._writer, self._keep = data, writer, keep
        self._folder = Path(str(arguments.output_dir))
        self._ema_decay = ema_decay
        self._averages: AveragedWeights | None = None
        # of the micro-batches of one optimizer step
        self._sources: deque[Tensor] = deque(maxlen=arguments.gradient_accumulation_steps)

    def get_train_dataloader(self) -> DataLoader:
        """Return a loader of this process's micro-batches; they are divided already."""
        return self._data.loader(
            self.args.dataloader_num_workers, pins=self.args.device.type == "cuda"
        )

    def _build_accelerator_args(self, **keywords: Any) -> dict[str, Any]:
        """Let FSDP gather weights in bfloat16 and leave everything else in float32."""
        plugin = keywords["fsdp_plugin"]
        if plugin is not None and plugin.fsdp_version == 2 and self.args.bf16:
            plugin.mixed_precision_policy = BFLOAT16_WEIGHTS
        return super()._build_accelerator_args(**keywords)

    def _prepare_for_training(
        self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: str | None
    ) -> Any:
        prepared = super()._prepare_for_training(
            max_steps, train_dataloader, resume_from_checkpoint
        )
        gather_for("remember", self.module.network.action_head.model.transformer_blocks)
        if self._ema_decay:
            self._averages = AveragedWeights(self.module, self._ema_decay)
            if resume_from_checkpoint is not None:
                weights = read_averages(self.module, Path(resume_from_checkpoint))
                self._averages.load(weights, self.state.global_step)
            self.add_callback(AverageCallback(self._averages, self.module))
        return prepared

    def _averaged(self) -> AbstractContextManager[None]:
        """Use the averaged weights for a while, where there are any."""
        averages = self._averages
        return nullcontext() if averages is None else averages.used_in(self.module)

    def _prepare_input(self, data: Any) -> Any:
        """Move tensors and nothing else: DeepSpeed would round times and noise to bfloat16."""
        if isinstance(data, Tensor):
            return data.to(self.args.device, non_blocking=True)
        return super()._prepare_input(data)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the loss; DivergedError when it is not finite, with the step and the episodes."""
        sources = inputs.pop("sources")
        self._sources.append(sources)
        loss = model(**inputs)["loss"]
        if not torch.isfinite(loss):
            raise DivergedError(self._diverged(f"the loss is {float(loss.detach())}", sources))
        return (loss, {}) if return_outputs else loss

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        norm = super()._clip_grad_norm(model)
        if norm is not None and not torch.isfinite(torch.as_tensor(norm)):
            what = f"the gradient's norm is {float(norm)}"
            raise DivergedError(self._diverged(what, torch.cat(list(self._sources))))
        return norm

    def _diverged(self, what: str, sources: Tensor) -> str:
        names = self._data.dataset_names
        pairs = sorted({(place, index) for place, index in sources.tolist()})
        episodes = ", ".join(f"{names[place]} episode {index}" for place, index in pairs)
        return (
            f"{what} at step {self.state.global_step + 1}, in a batch of {episodes}; the last "
            "checkpoint is kept. Look at these episodes, or try a lower --learning-rate"
        )

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Measure open loop on the held-out episodes; every process returns the same."""
        assert self._data.open_loop is not None
        model = self._wrapped() if self.is_in_train else cast(nn.Module, self.model)
        model.eval()
        rank, world = self.args.process_index, self.args.world_size
        with self._averaged():
            sums = self._data.open_loop.measure(model, self.args.device, rank, world)
        numbers = dataclasses.astuple(sums)
        totals = torch.tensor(numbers, dtype=torch.float64, device=self.args.device)
        if world > 1:
            totals = cast(Tensor, self.accelerator.reduce(totals, "sum"))
        metrics = ErrorSums(*totals.tolist()).metrics()
        metrics = {f"eval_{name}": value for name, value in metrics.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Save at every best measurement, so that its checkpoint can be marked."""
        better = super()._determine_best_metric(metrics, trial)
        self.control.should_save = self.control.should_save or better
        return better

    def _init_training_state(
        self,
        max_steps: int,
        num_update_steps_per_epoch: int,
        num_train_epochs: int,
        resume_from_checkpoint: str | None,
        trial: Any,
    ) -> tuple[int, int]:
        """Let the command's intervals override those of the resumed checkpoint."""
        result = super()._init_training_state(
            max_steps, num_update_steps_per_epoch, num_train_epochs, resume_from_checkpoint, trial
        )
        self.state.compute_steps(self.args, max_steps)
        if not folders.best_is_by(self._folder, folders.BEST_METRIC):  # an earlier version's run
            self.state.best_metric = self.state.best_global_step = None
        return result

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint aside, then rename it: it is there completely or not at all."""
        self.store_flos()
        target = folders.checkpoint_path(self._folder, self.state.global_step)
        staged = self._folder / folders.STAGING / target.name
        if self.args.should_save:
            folders.sweep(self._folder)
        self.accelerator.wait_for_everyone()
        try:
            self._write(staged)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                self.state.save_to_json(str(staged / folders.STATE_FILE))
                folders.publish(staged, target)
                folders.mark_if_best(target)
                folders.rotate(self._folder, self._keep, self.state.best_global_step)
        except (OSError, SafetensorError) as error:
            if self.args.should_save:
                folders.sweep(self._folder)
            raise TrainingError(
                f"{target} cannot be written: {error}; the earlier checkpoints are kept. Make "
                "room, and run the same command again"
            ) from error
        self.accelerator.wait_for_everyone()

    def _write(self, staged: Path) -> None:
        """Write what serving and resuming need; DeepSpeed gathers and keeps its own files."""
        if self.is_deepspeed_enabled:
            self.save_model(str(staged), _internal_call=True)
            super()._save_optimizer_and_scheduler(str(staged))
            return
        now = whole_weights(self._wrapped())
        averaged = None
        if self._averages is not None:
            now = {name: weight.clone() for name, weight in now.items()}
            with self._averaged():
                averaged = {
                    name: weight.clone() for name, weight in whole_weights(self._wrapped()).items()
                }
        optimizer = whole_optimizer(self._wrapped(), self._plain_optimizer())
        if self.args.should_save:
            self._save(str(staged), now if averaged is None else averaged)
            self._writer.write_trained(staged, self.module, now, averaged)
            save_optimizer(staged, optimizer, cast(Any, self.lr_scheduler).state_dict())

    def _save(
        self, output_dir: str | None = None, state_dict: Mapping[str, Any] | None = None
    ) -> None:
        weights = self.module.state_dict() if state_dict is None else state_dict
        progress = {"step": self.state.global_step, "best_step": self.state.best_global_step}
        measured = [
            entry for entry in self.state.log_history if f"eval_{folders.BEST_METRIC}" in entry
        ]
        if measured:
            progress["last_measured"] = measured[-1]
        self._writer.write(Path(str(output_dir)), self.module, weights, progress)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Load nothing: the module was made with the checkpoint's weights."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or self.is_deepspeed_enabled:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        state, schedule = load_optimizer(Path(checkpoint))
        optimizer = self._plain_optimizer()
        # the command's settings, which may differ from those that the checkpoint was made with
        asked = [dict(group) for group in optimizer.param_groups]
        put_optimizer(self._wrapped(), optimizer, state)
        scheduler = cast(Any, self.lr_scheduler)
        scheduler.last_epoch = schedule["last_epoch"]
        scheduler._step_count = schedule["_step_count"]
        for group, settings, base, curve in zip(
            optimizer.param_groups, asked, scheduler.base_lrs, scheduler.lr_lambdas, strict=True
        ):
            rate = base * curve(scheduler.last_epoch)
            group.update({**settings, "params": group["params"], "lr": rate})
        scheduler._last_lr = [group["lr"] for group in optimizer.param_groups]

    def _wrapped(self) -> nn.Module:
        """Return the module as wrapped for several processes."""
        return cast(nn.Module, self.model_wrapped)

    def _plain_optimizer(self) -> Optimizer:
        """Return the optimizer itself, without accelerate's wrapper."""
        return cast(Optimizer, getattr(self.optimizer, "optimizer", self.optimizer))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Load nothing: random numbers come with the batches."""
