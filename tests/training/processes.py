"""Runs the command in a process of its own, as a user does."""

import os
import subprocess
import sys
import time


def command(settings, launcher=(sys.executable,), program=("-m", "handover_training.finetune")):
    flags = {
        "base-model-path": settings.base_model_path,
        "output-dir": settings.output_dir,
        "cache-dir": settings.cache_dir,
        "max-steps": settings.max_steps,
        "global-batch-size": settings.global_batch_size,
        "learning-rate": settings.learning_rate,
        "save-steps": settings.save_steps,
        "logging-steps": settings.logging_steps,
        "report-to": "none",
        "dataloader-num-workers": settings.dataloader_num_workers,
        "device": "cpu",
        "precision": settings.precision,
    }
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    if settings.lora_rank:
        words += ["--lora-rank", str(settings.lora_rank)]
    if settings.gradient_checkpointing:
        words.append("--gradient-checkpointing")
    if settings.fsdp:
        words.append("--fsdp")
    return [*launcher, *program, "--dataset-path", str(settings.dataset_path[0]), *words]


def start(settings, log, *how):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    environment.pop("MKL_NUM_THREADS", None)  # it would win over the one before
    with log.open("a") as file:
        return subprocess.Popen(
            command(settings, *how), env=environment, stdout=file, stderr=subprocess.STDOUT
        )


def wait_for(path, process, log, timeout_s=240):
    """Wait until a file is there; the process must not end before."""
    deadline = time.monotonic() + timeout_s
    while not path.exists():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)
