"""Where memory did not suffice: the flags that help."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from handover_training.errors import TrainingError
from handover_training.finetuning.config import FinetuneConfig


@contextmanager
def explain_out_of_memory(settings: FinetuneConfig) -> Iterator[None]:
    """Raise TrainingError for want of memory and for lost workers: it says which flag helps."""
    try:
        yield
    except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
        what = next(iter(str(error).splitlines()), "")
        if _is_out_of_memory(error):
            raise TrainingError(
                f"out of memory: {what} -- these need less, in this order: "
                "--gradient-checkpointing, a larger --gradient-accumulation-steps (now "
                f"{settings.gradient_accumulation_steps}), --lora-rank 16, --precision bfloat16, "
                "--fsdp on several GPUs"
            ) from error
        if what.startswith("DataLoader worker (pid"):
            raise TrainingError(
                f"{what} -- where it was for want of memory, fewer --dataloader-num-workers (now "
                f"{settings.dataloader_num_workers}) need less; the same command goes on"
            ) from error
        raise


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return "out of memory" in text or "can't allocate memory" in text
