"""The command `handover finetune`: from GR00T datasets and a base checkpoint to a finetuned one.

Several GPUs: torchrun --nproc_per_node=4 -m handover_training.finetune …
"""

import atexit
import logging
import os
import sys

from handover_common import MissingExtra, run_command, show

from handover_training.finetuning.config import FinetuneConfig, check


def main(config: FinetuneConfig) -> None:
    """Train, or continue an interrupted run. Raises HandoverError."""
    check(config)
    first = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(
        level=logging.INFO if first else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for noisy in ("httpx", "absl", "accelerate"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        from handover_training.finetuning.run import finetune
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "torch", "train") from error
    summary = finetune(config)
    if first:
        show(summary)


def module() -> None:
    """Run without the handover command around it, as `python -m` and torchrun do."""
    _leave(run_command(FinetuneConfig, main, "handover finetune"))


def _leave(status: int) -> None:
    """Exit, skipping Python's tear-down where torchrun's connections were open.

    Their threads last as long as anything trained with them, PyTorch's own caches included, and
    one that gives back its last tensor during the tear-down aborts the process.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_initialized():
        raise SystemExit(status)
    if status == 0:
        distributed.destroy_process_group()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
