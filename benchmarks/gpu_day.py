"""A GPU's first day: every measurement that waits for one, in stages of minutes that go on.

    python -m benchmarks.gpu_day                          as much as fits into nine minutes
    python -m benchmarks.gpu_day --stages inference       of one stage
    python -m benchmarks.gpu_day --tiny --device cpu      the whole day at a tiny size, as a trial
    python -m benchmarks.gpu_day --table                  what is there, into docs and README

Each job is a process of its own that leaves raw JSON in results/gpu_day; the same command goes on
with what is missing. Needs the extras `serve`, `train` and `dev`, for rollouts also `sim`.
"""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from benchmarks import gpu_table
from benchmarks.harness.jobs import Job, forget_failed, python, read_outcome, run_jobs
from benchmarks.harness.result_file import FOLDER

CHECKPOINT = Path("checkpoints/aloha-mini")  # from the repository's root
Stage = Literal["tests", "inference", "wire", "finetuning", "rollouts"]
STAGES: tuple[Stage, ...] = ("tests", "inference", "wire", "finetuning", "rollouts")
COMPILED = ("engine, compiled CUDA graph", "engine, Triton kernels", "engine, FP8")
PLAIN = ("reference", "compiled transformer", "engine", "engine, CUDA graph")
BATCHES = (1, 2, 4, 8, 16, 32)
HORIZONS = (16, 50)


@dataclass(frozen=True)
class GpuDay:
    """Run the jobs that are not done yet, stage by stage."""

    minutes: float = 9.0
    """Wall time of this call"""
    stages: tuple[Stage, ...] = STAGES
    device: str = "cuda"
    tiny: bool = False
    """The small checkpoint and a few iterations: tries the way, measures nothing"""
    again: bool = False
    """Run jobs that failed or were cut off once more"""
    work: Path = Path(tempfile.gettempdir()) / "handover-gpu-day"
    """Folder for the checkpoint of the published sizes, 6 GB"""
    list: bool = False
    """Only tell what is done and what is left"""
    table: bool = False
    """Only write the table into docs/serving.md"""


def main(config: GpuDay) -> int:
    """Run, and tell what is left; 0 when nothing is."""
    if config.table:
        gpu_table.main(FOLDER / _folder(config))
        return 0
    jobs = [job for job in make_jobs(config) if job.stage in config.stages]
    if config.again:
        forget_failed(jobs)
    left = run_jobs(jobs, 0.0 if config.list else 60 * config.minutes)
    for job in jobs:
        outcome = read_outcome(job)
        said = outcome.get("failed") or outcome.get("cut_off")
        done = "done" if outcome else "to do"
        print(f"{job.stage:>11}  {said or done:<24}  {job.name}")
    print(f"{left} of {len(jobs)} jobs are left" + (": the same command goes on" if left else ""))
    return 1 if left else 0


def make_jobs(config: GpuDay) -> list[Job]:
    """List the day's jobs in their order."""
    makers = (_tests, _inference, _wire, _finetuning, _rollouts)
    return [job for maker in makers for job in maker(config)]


def _tests(config: GpuDay) -> Iterator[Job]:
    result = FOLDER / _folder(config) / "tests.json"
    # cut off at a test, it goes on there; every one compiles for minutes the first time
    yield Job("tests", "gpu", python("benchmarks.harness.gpu_tests", "--result", result), result)


def _inference(config: GpuDay) -> Iterator[Job]:
    """The variants one by one; compiled ones at batch 1 first: each batch compiles for minutes."""
    flags: tuple[object, ...] = ("--checkpoint", CHECKPOINT, "--device", config.device)
    flags += _few(config, "--warm-up", 1, "--iterations", 2, "--batch-iterations", 1)
    batches = BATCHES[:2] if config.tiny else BATCHES
    for horizon in HORIZONS[:1] if config.tiny else HORIZONS:
        size = () if config.tiny else ("--full-size", "--horizons", horizon)
        for variant in (*PLAIN, *COMPILED):
            parts = [batches] if variant in PLAIN else [batches[:1], batches[1:]]
            for asked in parts:
                name = f"inference_{horizon}_{_slug(variant)}_{'_'.join(map(str, asked))}"
                more = ("--variants", variant, "--batches", *asked)
                yield _job(
                    config,
                    "inference",
                    name,
                    "benchmarks.inference.latency",
                    *flags,
                    *size,
                    *more,
                )


def _wire(config: GpuDay) -> Iterator[Job]:
    """From wire to wire: the small checkpoint, and the published sizes."""
    few = _few(config, "--warm-up", 1, "--iterations", 3)
    flags = ("--device", config.device, "--start-s", 480, *few)
    overhead = "benchmarks.serving.server_overhead"
    yield _job(config, "wire", "wire_small", overhead, *flags)
    yield from _full_size(config)
    more = ("--checkpoint", _base(config))
    yield _job(config, "wire", "wire_full_size", overhead, *flags, *more, needs=_base(config))


def _full_size(config: GpuDay) -> Iterator[Job]:
    """The checkpoint that the later jobs serve and finetune."""
    trial = ("--horizon", "None") if config.tiny else ()
    flags = ("--output", _base(config), *trial)
    yield _job(config, "wire", "full_size", "benchmarks.inference.full_size", *flags)


def _finetuning(config: GpuDay) -> Iterator[Job]:
    """Steps a second and memory: LoRA and whole matrices, features cached and not."""
    steps = ("--steps", 2, "--batch", 2) if config.tiny else ("--steps", 50, "--batch", 16)
    for lora in (0, 16):
        for cached in ("True", "False"):
            way = "cached" if cached == "True" else "plain"
            flags = ("--base", _base(config), "--lora-rank", lora, "--cache-features", cached)
            yield _job(
                config,
                "finetuning",
                f"finetuning_{'lora' if lora else 'full'}_{way}",
                "benchmarks.data.finetuning",
                *flags,
                *steps,
                *("--device", config.device),
                needs=_base(config),
            )


def _rollouts(config: GpuDay) -> Iterator[Job]:
    """Closed loop, drawn by the GPU through EGL."""
    episodes = ("--episodes", 1 if config.tiny else 50, "--device", config.device)
    for task in ("transfer_cube", "insertion"):
        module = "benchmarks.evaluation.served_rollout"
        yield _job(config, "rollouts", f"rollout_{task}", module, "--task", task, *episodes)


def _job(
    config: GpuDay, stage: str, name: str, module: str, *flags: object, needs: Path | None = None
) -> Job:
    result = f"{_folder(config)}/{name}"
    command = python(module, *flags, "--name", result)
    return Job(stage, name, command, FOLDER / f"{result}.json", needs=needs)


def _folder(config: GpuDay) -> str:
    """A trial's figures stay apart: they are none."""
    return "gpu_day_trial" if config.tiny else "gpu_day"


def _few(config: GpuDay, *flags: object) -> tuple[object, ...]:
    return flags if config.tiny else ()


def _base(config: GpuDay) -> Path:
    return config.work / ("tiny" if config.tiny else "full-size")


def _slug(words: str) -> str:
    return words.replace(",", "").replace(" ", "_").lower()


if __name__ == "__main__":
    sys.exit(main(tyro.cli(GpuDay)))
