"""`handover finetune`: from GR00T datasets and a base checkpoint to a checkpoint that serves.

Equally, on several GPUs: torchrun --nproc_per_node=4 -m handover_training.finetune …
"""

import logging
import os
import sys

from handover_proto.errors import HandoverError, MissingExtra, UsageError

from handover_training.finetune_config import FinetuneConfig


def main(config: FinetuneConfig) -> None:
    """Train, or go on with an interrupted run. Raises HandoverError."""
    first = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(
        level=logging.INFO if first else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for noisy in ("httpx", "absl", "accelerate"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        from handover_training.finetuning import run
        from handover_training.run_arguments import leave_processes
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "torch", "train") from error
    summary = run(config)
    if first:
        print(summary)
    leave_processes()


def cli() -> None:
    """Parse the command line and run."""
    import tyro

    main(tyro.cli(FinetuneConfig))


if __name__ == "__main__":
    # torchrun comes in here, without the handover command around it
    try:
        cli()
    except HandoverError as error:
        print(f"handover: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, UsageError) else 1) from None
