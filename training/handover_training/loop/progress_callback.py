"""Progress bar and log lines of the training loop."""

import logging
from contextlib import ExitStack
from typing import Any

from handover_common import ProgressBar
from transformers.trainer_callback import (
    TrainerCallback,
    TrainerControl,
    TrainerState,
)
from transformers.training_args import TrainingArguments

logger = logging.getLogger(__name__)


class TrainingProgress(TrainerCallback):
    """Shows steps, loss and time left on the standard error of the first process."""

    def __init__(self) -> None:
        self._bar: ProgressBar | None = None
        self._open = ExitStack()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.is_world_process_zero:
            bar = ProgressBar("training", state.max_steps, "steps", done=state.global_step)
            self._bar = self._open.enter_context(bar)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self._bar is not None:
            self._bar.show(done=state.global_step)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        logs = rest.get("logs") or {}
        if self._bar is None:
            return
        if "loss" in logs:
            self._bar.show(note=f"loss {logs['loss']:.4f}")
        shown = ("loss", "grad_norm", "learning_rate")
        measured = [name for name in logs if name.startswith("eval_open_loop")]
        named = ", ".join(
            f"{name} {logs[name]:.6g}" for name in (*shown, *measured) if name in logs
        )
        if named:
            logger.info("step %d: %s", state.global_step, named)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Remove the bar; also when training ends with an error."""
        self._open.close()
