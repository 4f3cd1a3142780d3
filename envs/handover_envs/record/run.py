"""Recording of a dataset of demonstrations: seeds, assembly, record of how it was made."""

import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from handover_common import ProgressBar, write_json
from handover_common.parallel import Executor, open_executor
from handover_conversion import DatasetError
from handover_conversion.lerobot import (
    RecordingCodec,
    RecordingFormat,
    encoder_settings,
    write_recordings,
)

from handover_envs.record.config import RecordConfig
from handover_envs.record.demonstration import DemonstrationTask, demonstrate
from handover_envs.record.filming import Film, join_differences
from handover_envs.record.folder import RecordingFolder
from handover_envs.simulator.loading import check_packages, simulator_versions
from handover_envs.simulator.rendering import LOOKS
from handover_envs.simulator.simulator import TOP_CAMERA
from handover_envs.tasks.registry import find_task
from handover_envs.tasks.task import CONTROL_RATE_HZ

CAMERA = "observation.images.top"
METADATA = "meta/recording.json"  # beside LeRobot's own files, which stay as lerobot writes them

# 400 frames of 480×640, measured on these scenes and rounded up; films are linked into the dataset,
# not copied.
_BYTES_PER_EPISODE: dict[RecordingCodec, int] = {"h264": 3_000_000, "av1": 2_000_000}
_FEWEST_SUCCESSES = 0.5  # of the seeds tried, from the 10th on


class ExpertFailed(DatasetError):
    """An expert that fails so often that it or the simulator must be broken."""


@dataclass(frozen=True)
class RecordingReport:
    """What was recorded."""

    output: Path
    episodes: int
    failed_seeds: tuple[int, ...]
    resumed: int  # episodes that an earlier, interrupted run had finished
    seconds: float

    def summary(self) -> str:
        """Format the report as a line for the terminal."""
        line = f"{self.output}: {self.episodes} episodes, {self.seconds:.0f} s"
        if self.failed_seeds:
            line += f"; {len(self.failed_seeds)} seeds failed and are left out"
        if self.resumed:
            line += f"; {self.resumed} episodes were finished before"
        return line


def record(config: RecordConfig) -> RecordingReport:
    """Record the first `episodes` successes from `seed` on. Raises HandoverError.

    The same configuration gives the same actions, regardless of workers and interruptions.
    """
    if config.cluster is None:
        check_packages()
    started = time.monotonic()
    plan = make_plan(config)
    with (
        open_executor(config.workers, config.cluster) as executor,
        RecordingFolder(config.output, plan) as folder,
    ):
        resumed = len(folder.finished())
        _check_space(config, folder, config.episodes - resumed)
        done = min(resumed, config.episodes)
        with ProgressBar("recording", config.episodes, "episodes", done=done) as progress:
            seeds = _record_seeds(config, folder, executor, progress)
        failed = tuple(sorted(seed for seed in folder.failed() if seed < seeds[-1]))
        _assemble(config, folder, seeds, plan | {"failed_seeds": failed})
        folder.publish()
    seconds = time.monotonic() - started
    return RecordingReport(config.output, len(seeds), failed, resumed, seconds)


def make_plan(config: RecordConfig) -> dict[str, Any]:
    """Record all that decides an episode; an interrupted run resumes only with an equal plan."""
    return {
        "tool": simulator_versions(),
        "task": config.task,
        "seed": config.seed,
        "control_rate_hz": CONTROL_RATE_HZ,
        "fps": config.fps,
        "image_size": config.image_size,
        "look": {"name": config.render, **asdict(LOOKS[config.render])},
        "encoder": encoder_settings(config.codec),
    }


def film_of(config: RecordConfig) -> Film:
    """Return how the episodes of a configuration are filmed."""
    cameras = {CAMERA: TOP_CAMERA}
    return Film(cameras, config.fps, config.image_size, config.render, config.codec)


def _check_space(config: RecordConfig, folder: RecordingFolder, missing: int) -> None:
    film = film_of(config)
    height, width = film.height_width
    share = height * width / (480 * 640) * film.fps / CONTROL_RATE_HZ * len(film.cameras)
    needed = missing * _BYTES_PER_EPISODE[config.codec] * share
    free = shutil.disk_usage(folder.path).free
    if free < needed:
        raise DatasetError(
            f"{missing} episodes need about {needed / 1e9:.2g} GB, "
            f"{config.output.parent} has {free / 1e9:.2g} GB free (--output)"
        )


def _record_seeds(
    config: RecordConfig,
    folder: RecordingFolder,
    executor: Executor,
    progress: ProgressBar,
) -> list[int]:
    """Try seeds in order until there are enough successes; return their seeds."""
    while True:
        failed = len(folder.failed())
        tried = range(config.seed, config.seed + config.episodes + failed)
        known = folder.finished() | folder.failed()
        tasks = [
            DemonstrationTask(config.task, seed, film_of(config))
            for seed in tried
            if seed not in known
        ]
        for outcome in executor.map_unordered(demonstrate, tasks):
            episode = outcome.unwrap()
            if episode is None:
                folder.drop(outcome.task.seed)
                progress.show(note=f"{len(folder.failed())} failed")
            else:
                folder.keep(episode)
                progress.advance()
            _check_successes(folder)
        kept = sorted(folder.finished())
        if len(kept) >= config.episodes:
            return kept[: config.episodes]


def _check_successes(folder: RecordingFolder) -> None:
    failed, kept = len(folder.failed()), len(folder.finished())
    if failed + kept >= 10 and kept < _FEWEST_SUCCESSES * (failed + kept):
        raise ExpertFailed(
            f"only {kept} of {failed + kept} demonstrations succeeded, expected nearly all: "
            "are the versions of mujoco and gym-aloha those of the extra 'sim'?"
        )


def _assemble(
    config: RecordConfig, folder: RecordingFolder, seeds: list[int], plan: dict[str, Any]
) -> None:
    """Assemble the dataset, with a record of how it was made."""
    film = film_of(config)
    form = RecordingFormat(
        task=find_task(config.task).text,
        fps=film.fps,
        cameras=dict.fromkeys(film.cameras, film.height_width),
        codec=film.codec,
    )
    dataset = folder.fresh_folder("dataset")
    write_recordings(dataset, form, (folder.read(seed).steps for seed in seeds))
    kept = [folder.read(seed) for seed in seeds]
    difference = join_differences([each.difference for each in kept if each.difference])
    look = plan["look"] | {"difference_from_default": difference and asdict(difference)}
    episodes = [episode.summary for episode in kept]
    write_json(dataset / METADATA, plan | {"look": look, "episodes": episodes})
