"""One finetuning run from start to finish: data, network, training, the finished checkpoint."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate.state import PartialState
from transformers.trainer_callback import PrinterCallback

from handover_training.checkpoints import folders
from handover_training.checkpoints.optimizer_state import SETTINGS_FILE, TENSORS_FILE
from handover_training.checkpoints.record import RunRecord
from handover_training.checkpoints.run_folder import RunFolder, RunStart
from handover_training.checkpoints.writer import TRAINED_FILE, CheckpointWriter, load_trained
from handover_training.errors import TrainingError
from handover_training.finetuning.config import FinetuneConfig, check
from handover_training.finetuning.plan import RunPlan, make_plan
from handover_training.finetuning.training_data import make_data
from handover_training.loop.progress_callback import TrainingProgress
from handover_training.loop.trainer import FinetuneTrainer
from handover_training.network.lora import add_adapters
from handover_training.network.training_module import TrainingModule

logger = logging.getLogger(__name__)

# what only a resumed run needs of a checkpoint
RESUME_FILES = (TENSORS_FILE, SETTINGS_FILE, TRAINED_FILE, folders.STATE_FILE, folders.MANIFEST)


def finetune(settings: FinetuneConfig) -> str:
    """Train, or continue an interrupted run; returns a line about the result.

    Raises HandoverError.
    """
    check(settings)
    plan = make_plan(settings)
    folder = RunFolder(settings.output_dir)
    state = PartialState()
    try:
        start = _enter(folder, plan, state)
        if start.finished:
            return f"{settings.output_dir} is already finished; raise --max-steps to continue"
        with _explain_out_of_memory(settings):
            trainer = _begin(folder, plan, start)
            train(trainer, plan, start)
        state.wait_for_everyone()
        if state.is_main_process:
            _finish(folder, plan)
        return _summary(settings.output_dir)
    finally:
        folder.release()


def train(trainer: FinetuneTrainer, plan: RunPlan, start: RunStart) -> None:
    """Train from the beginning or a checkpoint."""
    if start.checkpoint is not None:
        logger.info("continuing from %s", start.checkpoint)
        if folders.step_of(start.checkpoint) >= plan.settings.max_steps:
            return
    progress = TrainingProgress()
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(progress)
    checkpoint = None if start.checkpoint is None else str(start.checkpoint)
    try:
        trainer.train(resume_from_checkpoint=checkpoint)
    finally:
        progress.stop()


def make_trainer(plan: RunPlan, start: RunStart) -> FinetuneTrainer:
    """Load the network and connect it to the data."""
    settings, arguments = plan.settings, plan.arguments
    # cuDNN's attention, the first choice on an H100, can give NaN for the queries' gradients where
    # there is a mask: pytorch/pytorch#196678
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch.manual_seed(settings.seed)  # of weights that the base does not have, and of adapters
    network = plan.base.load(mixed_precision=bool(arguments.bf16))
    if settings.lora_rank:
        add_adapters(network, settings.lora_rank)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    logger.info("training %d weights", sum(weight.numel() for weight in weights))
    module = TrainingModule(network, arguments.world_size * settings.gradient_accumulation_steps)
    if start.checkpoint is not None and not arguments.deepspeed:
        load_trained(module, start.checkpoint)
    data = make_data(plan, start, module)
    record = RunRecord(plan.sources, plan.identity)
    writer = CheckpointWriter(plan.base, record)
    keep = settings.save_total_limit
    return FinetuneTrainer(module, arguments, data, writer, keep, settings.ema_decay)


def _enter(folder: RunFolder, plan: RunPlan, state: PartialState) -> RunStart:
    """Let the first process decide how the run starts; the others read what it wrote."""
    settings, start = plan.settings, None
    if state.is_main_process:
        folder.lock()
        start = folder.start(plan.identity, resume=settings.resume, overwrite=settings.overwrite)
        if start.checkpoint is not None:  # a run may be killed before it has marked its last one
            folders.mark_if_best(start.checkpoint)
    state.wait_for_everyone()
    return start or RunStart(folders.latest_whole(folder.path), finished=folder.is_finished())


def _begin(folder: RunFolder, plan: RunPlan, start: RunStart) -> FinetuneTrainer:
    try:
        return make_trainer(plan, start)
    except BaseException:
        folder.leave_no_trace()
        raise


def _finish(folder: RunFolder, plan: RunPlan) -> None:
    last = folders.latest_whole(folder.path)
    assert last is not None, "a run that ends has saved a checkpoint"
    folders.link_files(last, folder.path, RESUME_FILES)
    folders.sweep(folder.path)
    folder.finish(plan.identity)


def _summary(output: Path) -> str:
    best = output / folders.BEST_FILE
    if not best.is_file():
        return f"finished: {output}"
    found = json.loads(best.read_text(encoding="utf-8"))
    measured = [f"{name} {found[name]:.6f}" for name in found if name.startswith("open_loop")]
    return (
        f"finished: {output}, best on held-out episodes: {output / found['checkpoint']} "
        f"({', '.join(measured)})"
    )


@contextmanager
def _explain_out_of_memory(settings: FinetuneConfig) -> Iterator[None]:
    """Raise TrainingError for lack of memory and for lost workers; it names the flags that help."""
    try:
        yield
    except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
        what = next(iter(str(error).splitlines()), "")
        if _is_out_of_memory(error):
            raise TrainingError(
                f"out of memory: {what} -- these flags reduce it, in this order: "
                "--gradient-checkpointing, a larger --gradient-accumulation-steps (now "
                f"{settings.gradient_accumulation_steps}), --lora-rank 16, --precision bfloat16, "
                "--fsdp on several GPUs"
            ) from error
        if what.startswith("DataLoader worker (pid"):
            raise TrainingError(
                f"{what} -- if memory ran out, use fewer --dataloader-num-workers (now "
                f"{settings.dataloader_num_workers}); the same command continues"
            ) from error
        raise


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return "out of memory" in text or "can't allocate memory" in text
