"""Finetuning's samples per second, with cached features and without, in turn in one run.

python -m benchmarks.data.finetuning_speed --dataset-path DATASET
python -m benchmarks.data.finetuning_speed --dataset-path DATASET --base-model-path FULL-SIZE \
    --batch 2 --lora-rank 16 --precision bfloat16 --threads 2 --steps 1 --apart --result NAME

Writes results/finetuning_speed.json: whole optimizer steps on a CPU, the data path included
(frames, and features where they are cached, are on the disk before). Counted in seconds of the
processor, so that a busy machine says the same as an idle one.
"""

import gc
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.harness.result_file import write_result


@dataclass(frozen=True)
class BenchmarkConfig:
    """Measure finetuning with cached features and without."""

    dataset_path: Path
    """GR00T dataset to train on"""
    base_model_path: str = "checkpoints/aloha-mini-base"
    """Checkpoint to start from"""
    batch: int = 64
    """Samples of a step"""
    apart: bool = False
    """First one way, then the other: the published sizes do not fit into 24 GB of memory twice"""
    threads: int = 1
    """Threads of the computation"""
    rounds: int = 8
    """Rounds; in each, both train in turn"""
    steps: int = 4
    """Steps of a round"""
    lora_rank: int = 0
    """As for handover finetune"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """As for handover finetune"""
    cache_dir: Path = Path("~/.cache/handover/frames")
    """Folder of decoded frames and features"""
    result: str = "finetuning_speed"
    """Name of the result"""


def main(config: BenchmarkConfig) -> Path:
    """Measure and write the figures; returns their file."""
    import torch

    torch.set_num_threads(config.threads)
    rates: dict[str, list[float]] = {"cached": [], "computed at every step": []}
    with tempfile.TemporaryDirectory() as folder:
        turns = [tuple(rates)] if not config.apart else [(name,) for name in rates]
        for names in turns:
            runs = {name: _steps(config, Path(folder) / name, name == "cached") for name in names}
            _measure(config, runs, rates)
            runs.clear()
            gc.collect()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratios = [one / other for one, other in zip(*rates.values(), strict=True)]
    return write_result(
        config.result,
        {
            "samples_per_cpu_s": {name: float(f"{each:.4g}") for name, each in medians.items()},
            "ratio": round(statistics.median(ratios), 2),
            "batch": config.batch,
            "threads": config.threads,
            "base": Path(config.base_model_path).name,
            "lora_rank": config.lora_rank,
            "precision": config.precision,
        },
    )


def _measure(
    config: BenchmarkConfig, runs: Mapping[str, Iterator[None]], rates: Mapping[str, list[float]]
) -> None:
    """Add the samples per CPU second of each run's rounds, in turn, after one that is not counted.

    Raises StopIteration where the dataset is over.
    """
    for run in runs.values():
        for _ in range(config.steps):
            next(run)
    for _ in range(config.rounds):
        for name, run in runs.items():
            begin = time.process_time()
            for _ in range(config.steps):
                next(run)
            seconds = time.process_time() - begin
            rates[name].append(config.steps * config.batch / seconds)


def _steps(config: BenchmarkConfig, output: Path, cached: bool) -> Iterator[None]:
    """Train step by step, without checkpoints."""
    import torch
    from handover_training.checkpoints.run_folder import RunStart
    from handover_training.finetuning.config import FinetuneConfig
    from handover_training.finetuning.plan import make_plan
    from handover_training.finetuning.run import make_trainer

    settings = FinetuneConfig(
        dataset_path=(config.dataset_path,),
        base_model_path=config.base_model_path,
        output_dir=output,
        global_batch_size=config.batch,
        lora_rank=config.lora_rank,
        precision=config.precision,
        image_views=1,
        random_crop=False,
        cache_features=cached,
        state_noise=0.007,
        dataloader_num_workers=0,
        cache_dir=config.cache_dir,
        report_to=("none",),
        device="cpu",
    )
    trainer = make_trainer(make_plan(settings), RunStart(None))
    module: Any = trainer.module.train()
    optimizer = torch.optim.AdamW(
        [weight for weight in module.parameters() if weight.requires_grad], lr=1e-4
    )
    mixed = torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bfloat16")
    for batch in trainer.get_train_dataloader():
        optimizer.zero_grad()
        with mixed:
            loss = trainer.compute_loss(module, batch)
        loss.backward()
        optimizer.step()
        yield


def cli() -> None:
    """Parse the command line and print the figures."""
    import tyro

    print(main(tyro.cli(BenchmarkConfig)).read_text(encoding="utf-8"))


if __name__ == "__main__":
    cli()
