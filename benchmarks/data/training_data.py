"""How many samples a second the training's data path prepares, frames cached and workers running.

python -m benchmarks.data.training_data --dataset-path DATASET --base-model-path CHECKPOINT

Writes results/training_data.json: samples per second that come out of the data loader, from cached
256x256 frames to collated batches (colours, crop, resize, tokens, normalised actions).
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.result_file import write_result


@dataclass(frozen=True)
class BenchmarkConfig:
    """Measure the training's data path."""

    dataset_path: Path
    """GR00T dataset to read"""
    base_model_path: str
    """Checkpoint whose processor prepares the samples"""
    workers: int = 2
    """Worker processes of the data loader"""
    batch: int = 16
    """Samples of a batch"""
    seconds: float = 10.0
    """Time to measure for, after a warm-up of some batches"""
    cache_dir: Path = Path("~/.cache/handover/frames")
    """Folder of decoded frames"""


def main(config: BenchmarkConfig) -> Path:
    """Measure and write the figures; gives their file."""
    import torch

    torch.set_num_threads(1)
    figures = {
        f"{workers} workers, colours {'changed' if jitters else 'kept'}": round(
            measure(config, workers, jitters), 1
        )
        for workers in sorted({0, config.workers})
        for jitters in (False, True)
    }
    return write_result(
        "training_data",
        {"samples_per_s": figures, "batch": config.batch, "image": "256x256, one camera"},
    )


def measure(config: BenchmarkConfig, workers: int, jitters: bool) -> float:
    """Count the samples that come out of the loader in a second."""
    from handover_training.checkpoints.run_folder import RunStart
    from handover_training.finetuning.config import FinetuneConfig
    from handover_training.finetuning.plan import make_plan
    from handover_training.finetuning.run import make_trainer

    jitter = {"brightness": 0.3, "contrast": 0.4, "saturation": 0.5, "hue": 0.08}
    with tempfile.TemporaryDirectory() as folder:
        settings = FinetuneConfig(
            dataset_path=(config.dataset_path,),
            base_model_path=config.base_model_path,
            output_dir=Path(folder) / "run",
            global_batch_size=config.batch,
            color_jitter_params=jitter if jitters else {},
            cache_features=False,
            dataloader_num_workers=workers,
            cache_dir=config.cache_dir,
            report_to=("none",),
        )
        trainer = make_trainer(make_plan(settings), RunStart(None))
        batches = iter(trainer.get_train_dataloader())
        for _ in range(2 + 4 * workers):  # past the workers' start and what they prepared ahead
            next(batches)
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < config.seconds:
            next(batches)
            count += config.batch
        return count / (time.perf_counter() - begin)


def cli() -> None:
    """Parse the command line and print the figures."""
    import tyro

    print(main(tyro.cli(BenchmarkConfig)).read_text(encoding="utf-8"))


if __name__ == "__main__":
    cli()
