"""Recording of a dataset of demonstrations: seeds, assembly, record of how it was made."""

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from handover_common import ProgressBar, write_json
from handover_common.parallel import open_executor
from handover_conversion import DatasetError
from handover_conversion.lerobot import (
    RecordingCodec,
    RecordingFormat,
    encoder_settings,
    write_recordings,
)

from handover_envs.perturbations import parse_vary
from handover_envs.record.config import RecordConfig
from handover_envs.record.demonstration import Demonstration, DemonstrationTask, demonstrate
from handover_envs.record.filming import Film, join_differences
from handover_envs.record.folder import INTERVENTION, METADATA, RecordingFolder
from handover_envs.record.seeds import record_seeds
from handover_envs.simulator.loading import check_packages, simulator_versions
from handover_envs.simulator.rendering import LOOKS
from handover_envs.tasks.registry import find_task
from handover_envs.tasks.task import CONTROL_RATE_HZ

CAMERAS = "observation.images"

# 400 frames of 480×640, measured on these scenes and rounded up; films are linked into the dataset,
# not copied.
_BYTES_PER_EPISODE: dict[RecordingCodec, int] = {"h264": 3_000_000, "av1": 2_000_000}


@dataclass(frozen=True)
class RecordingReport:
    """What was recorded."""

    output: Path
    episodes: int
    failed_seeds: tuple[int, ...]
    spared_seeds: tuple[int, ...]  # in which the policy needed no takeover
    resumed: int  # episodes that an earlier, interrupted run had finished
    seconds: float

    def summary(self) -> str:
        """Format the report as a line for the terminal."""
        line = f"{self.output}: {self.episodes} episodes, {self.seconds:.0f} s"
        if self.failed_seeds:
            line += f"; {len(self.failed_seeds)} seeds failed and are left out"
        if self.spared_seeds:
            line += f"; in {len(self.spared_seeds)} the policy needed nobody"
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
    worker = prepare(config)
    plan = make_plan(config) | worker.plan
    with (
        open_executor(config.workers, config.cluster) as executor,
        RecordingFolder(config.output, plan) as folder,
    ):
        resumed = len(folder.finished())
        _check_space(config, folder, config.episodes - resumed)
        done = min(resumed, config.episodes)
        with ProgressBar("recording", config.episodes, "episodes", done=done) as progress:
            work, make_task = worker.work, worker.make_task
            seeds = record_seeds(config, folder, executor, progress, work, make_task)
        failed, spared = (
            tuple(sorted(seed for seed in folder.left_out(kind) if seed < seeds[-1]))
            for kind in ("failed", "spared")
        )
        noted = {"failed_seeds": failed} | ({"spared_seeds": spared} if config.takeover else {})
        _assemble(config, folder, seeds, plan | noted)
        folder.publish()
    seconds = time.monotonic() - started
    return RecordingReport(config.output, len(seeds), failed, spared, resumed, seconds)


@dataclass(frozen=True)
class Worker:
    """How the episodes of a recording are played: a function, and its task for each seed."""

    work: Callable[[Any], Demonstration | str | None]
    make_task: Callable[[int], Any]
    plan: dict[str, Any]  # what decides the episodes beside the configuration


def prepare(config: RecordConfig) -> Worker:
    """Return the worker of a configuration. Raises HandoverError for a server that does not fit."""
    film = film_of(config)
    if config.takeover:
        from handover_envs.record.interventions import prepare_takeover  # loads gRPC

        work, make_task, plan = prepare_takeover(config, film)
        return Worker(work, make_task, plan)
    disturbed = {"disturbed": "action is what the expert meant; what was played is near it"}
    return Worker(
        demonstrate,
        lambda seed: DemonstrationTask(config.task, seed, film, config.disturb),
        disturbed if config.disturb else {},
    )


def make_plan(config: RecordConfig) -> dict[str, Any]:
    """Record all that decides an episode; an interrupted run resumes only with an equal plan."""
    return {
        "tool": simulator_versions(),
        "task": config.task,
        "seed": config.seed,
        "control_rate_hz": CONTROL_RATE_HZ,
        "fps": config.fps,
        "cameras": config.cameras(),
        "image_size": config.image_size,
        "look": {"name": config.render, **asdict(LOOKS[config.render])},
        "encoder": encoder_settings(config.codec),
        **({"vary": parse_vary(config.vary)} if config.vary else {}),
    }


def film_of(config: RecordConfig) -> Film:
    """Return how the episodes of a configuration are filmed."""
    cameras = {f"{CAMERAS}.{name}": each for name, each in config.cameras().items()}
    return Film(cameras, config.fps, config.image_size, config.render, config.codec, config.vary)


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
        marks=(INTERVENTION,) if config.takeover else (),
    )
    dataset = folder.fresh_folder("dataset")
    write_recordings(dataset, form, (folder.read(seed).steps for seed in seeds))
    kept = [folder.read(seed) for seed in seeds]
    difference = join_differences([each.difference for each in kept if each.difference])
    look = plan["look"] | {"difference_from_default": difference and asdict(difference)}
    episodes = [episode.summary for episode in kept]
    write_json(dataset / METADATA, plan | {"look": look, "episodes": episodes})
