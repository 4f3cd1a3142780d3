"""From dataset to checkpoint: `finetune(FinetuneConfig(…))`."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_training.finetuning.config import FinetuneConfig
    from handover_training.finetuning.run import finetune

__getattr__, __dir__ = lazy(__name__, __file__)
