"""Samples a second and memory of `handover finetune`, with cached features and without, in one run.

    python -m benchmarks.data.finetuning                               the small checkpoint
    python -m benchmarks.data.finetuning --base DIR --batch 2          another base

Steps are timed after a warm-up, on one dataset whose features are computed before; what that takes
is told apart. Needs the extras `train` and `convert`.
"""

import gc
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from handover_conversion import ConvertConfig, convert
from handover_training.checkpoints.run_folder import RunStart
from handover_training.finetuning.config import FinetuneConfig
from handover_training.finetuning.plan import make_plan
from handover_training.finetuning.run import make_trainer, train
from transformers.trainer_callback import TrainerCallback

from benchmarks.harness.machine import OthersAtWork
from benchmarks.harness.result_file import write_result

RECORDINGS = Path("tests/data/aloha_sim_transfer_cube")  # from the repository's root
MIB = 2**20


@dataclass(frozen=True)
class FinetuningBenchmark:
    """Time steps of finetuning."""

    base: Path = Path("checkpoints/aloha-mini")
    """Checkpoint that is finetuned"""
    dataset_path: Path | None = None
    """GR00T dataset; by default one of the repository's own recordings, converted"""
    cache_features: tuple[bool, ...] = (True, False)
    """What is measured, in this order"""
    steps: int = 30
    """Steps that are timed"""
    warm_up: int = 5
    batch: int = 32
    lora_rank: int = 0
    image_views: int = 1
    """Views of a frame whose features are cached; no time of a step depends on them"""
    device: str = "auto"
    name: str = "finetuning"
    """The result goes to benchmarks/results/NAME.json"""


class StepClock(TrainerCallback):
    """Takes the time of every optimizer step."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Note when a step ended; the GPU's work too."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())


def main(config: FinetuningBenchmark) -> dict[str, Any]:
    """Measure each way, print and write the figures."""
    others = OthersAtWork()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        dataset = config.dataset_path or _convert(work / "dataset")
        ways = {_name(way): _measure(config, dataset, work, way) for way in config.cache_features}
    result: dict[str, Any] = {
        "what": "steps of handover finetune after a warm-up; samples/s by the median step",
        "base": config.base.name,
        "batch": config.batch,
        "lora_rank": config.lora_rank,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if _uses_gpu(config) else "cpu",
        "other_processes_cores": others.cores(),
        "ways": ways,
    }
    if len(ways) == 2:
        cached, plain = (ways[_name(way)]["samples_per_s"] for way in (True, False))
        result["times_as_fast_cached"] = round(cached / plain, 2)
    print(result)
    write_result(config.name, result)
    return result


def _measure(
    config: FinetuningBenchmark, dataset: Path, work: Path, cached: bool
) -> dict[str, Any]:
    """Train some steps in this process."""
    settings = FinetuneConfig(
        dataset_path=(dataset,),
        base_model_path=str(config.base),
        output_dir=work / _name(cached),
        max_steps=config.warm_up + config.steps,
        global_batch_size=config.batch,
        lora_rank=config.lora_rank,
        cache_features=cached,
        image_views=config.image_views,
        val_episodes=0,
        save_steps=10**6,
        report_to=("none",),
        dataloader_num_workers=0,
        cache_dir=work / "frames",
        device="cpu" if config.device == "cpu" else "auto",
    )
    if _uses_gpu(config):
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    plan = make_plan(settings)
    trainer = make_trainer(plan, RunStart(None))
    prepared_s = time.perf_counter() - began
    clock = StepClock()
    trainer.add_callback(clock)
    train(trainer, plan, RunStart(None))
    taken = [later - earlier for earlier, later in zip(clock.ends, clock.ends[1:], strict=False)]
    figures: dict[str, Any] = {
        "prepared_s": round(prepared_s, 2),
        "step_ms": round(1e3 * statistics.median(taken[config.warm_up - 1 :]), 2),
        "samples_per_s": round(config.batch / statistics.median(taken[config.warm_up - 1 :]), 3),
    }
    if _uses_gpu(config):
        figures["peak_gpu_mib"] = round(torch.cuda.max_memory_allocated() / MIB, 1)
    del trainer
    gc.collect()
    return figures


def _convert(output: Path) -> Path:
    convert(ConvertConfig(source=str(RECORDINGS), output=output))
    return output


def _name(cached: bool) -> str:
    return "cached" if cached else "plain"


def _uses_gpu(config: FinetuningBenchmark) -> bool:
    return config.device != "cpu" and torch.cuda.is_available()


if __name__ == "__main__":
    main(tyro.cli(FinetuningBenchmark))
