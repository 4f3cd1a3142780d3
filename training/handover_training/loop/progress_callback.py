"""Progress bar and log lines of the training loop."""

import logging
from typing import Any

from rich.progress import TaskID
from transformers.trainer_callback import (
    TrainerCallback,
    TrainerControl,
    TrainerState,
)
from transformers.training_args import TrainingArguments

from handover_training.progress import make_bar

logger = logging.getLogger(__name__)


class TrainingProgress(TrainerCallback):
    """Shows steps, loss and time left on the standard error of the first process."""

    def __init__(self) -> None:
        self._bar = make_bar("training", "steps")
        self._task: TaskID | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.is_world_process_zero:
            self._bar.start()
            self._task = self._bar.add_task(
                "", total=state.max_steps, completed=state.global_step, note=""
            )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self._task is not None:
            self._bar.update(self._task, completed=state.global_step)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        logs = rest.get("logs") or {}
        if self._task is None:
            return
        if "loss" in logs:
            self._bar.update(self._task, note=f", loss {logs['loss']:.4f},")
        shown = ("loss", "grad_norm", "learning_rate", "eval_open_loop_mse", "eval_open_loop_mae")
        named = ", ".join(f"{name} {logs[name]:.6g}" for name in shown if name in logs)
        if named:
            logger.info("step %d: %s", state.global_step, named)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Remove the bar; also when training ends with an error."""
        self._bar.stop()
