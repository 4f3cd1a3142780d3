"""Averaging of the trained weights after every optimizer step."""

from typing import Any

from transformers.trainer_callback import TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from handover_training.network.averages import AveragedWeights
from handover_training.network.training_module import TrainingModule


class AverageCallback(TrainerCallback):
    """Lets averaged weights follow a module's."""

    def __init__(self, averages: AveragedWeights, module: TrainingModule) -> None:
        self._averages, self._module = averages, module

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._averages.follow(self._module)
