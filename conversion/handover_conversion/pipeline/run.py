"""Conversion of a whole dataset: plan, convert the unfinished episodes, assemble, publish."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handover_common import ProgressBar, UsageError
from handover_common.parallel import Executor, Outcome, open_executor

from handover_conversion.errors import (
    DatasetError,
    Fault,
    FaultyDataset,
    FaultyEpisode,
    in_reading_order,
    report,
)
from handover_conversion.groot.dataset import GrootDataset
from handover_conversion.groot.embodiment_map import choose_embodiment
from handover_conversion.groot.writer import ConvertedEpisode
from handover_conversion.lerobot.dataset import LeRobotDataset
from handover_conversion.lerobot.open import open_lerobot
from handover_conversion.pipeline.assembly import assemble
from handover_conversion.pipeline.config import ConvertConfig, check, source_and_output
from handover_conversion.pipeline.episode import EpisodeTask, Target, convert_episode
from handover_conversion.pipeline.plan import make_plan, named_alike
from handover_conversion.pipeline.preflight import check_free, check_place
from handover_conversion.pipeline.resample import exact_rate, resampled_length
from handover_conversion.pipeline.rows import ACTION, STATE, RowFormat
from handover_conversion.pipeline.source import find_source
from handover_conversion.pipeline.staging import Staging, finish_publishing
from handover_conversion.video.encode import can_encode


@dataclass(frozen=True)
class ConversionReport:
    """What was converted, and what was left out."""

    output: Path
    episodes: int
    rows: int
    resumed: int  # episodes that an earlier, interrupted run had finished
    left_out: tuple[Fault, ...]
    seconds: float

    def summary(self) -> str:
        """Format the report for the terminal; the first line is complete in itself."""
        line = f"{self.output}: {self.episodes} episodes, {self.rows} rows, {self.seconds:.1f} s"
        if self.resumed:
            line += f" ({self.resumed} episodes were finished before)"
        if not self.left_out:
            return line
        episodes = {fault.episode for fault in self.left_out if fault.episode is not None}
        return report(f"{line}; left out {len(episodes)} episodes:", self.left_out)


def convert(config: ConvertConfig) -> ConversionReport:
    """Convert a dataset. Raises UsageError, and DatasetError naming every fault found."""
    check(config)
    started = time.monotonic()
    source, output = source_and_output(config)
    root = find_source(source, config.revision, config.video_key)
    output = output.expanduser().absolute()
    published = finish_publishing(output)
    if published is None:
        check_place(root, output, config.overwrite)
    recordings = open_lerobot(root, config.video_key)
    target = _target(recordings, config)
    _check_lengths(recordings, target, config.horizon)
    check_free(output, recordings, target)
    with open_executor(config.workers, config.cluster) as executor:
        plan = make_plan(source, config, recordings, target, executor)
        if published is not None and named_alike(published, plan) == plan:
            return _report_finished(output, time.monotonic() - started)
        check_place(root, output, config.overwrite)  # again: reading the source takes time
        return _convert_planned(recordings, target, output, plan, config, executor, started)


def _convert_planned(
    recordings: LeRobotDataset,
    target: Target,
    output: Path,
    plan: dict[str, Any],
    config: ConvertConfig,
    executor: Executor,
    started: float,
) -> ConversionReport:
    with Staging(output, plan, start_over=config.overwrite) as staging:
        resumed = len(staging.finished())
        faults = _convert_episodes(recordings, target, staging, executor)
        chosen = _good_episodes(recordings, faults, config.skip_bad, output)
        rows = assemble(staging, recordings, target, chosen, faults, plan)
        check_place(recordings.root, output, config.overwrite)  # something may have appeared there
        staging.publish()
    seconds = time.monotonic() - started
    return ConversionReport(output, len(chosen), rows, resumed, faults, seconds)


def _report_finished(output: Path, seconds: float) -> ConversionReport:
    """Report a dataset that an earlier run finished and moved into place."""
    dataset = GrootDataset.open(output)
    left_out = tuple(
        Fault(fault["file"], fault["fault"], fault["source_episode_index"])
        for fault in (dataset.conversion or {}).get("left_out", [])
    )
    episodes, rows = len(dataset.episodes), sum(entry.length for entry in dataset.episodes)
    return ConversionReport(output, episodes, rows, episodes, left_out, seconds)


def _target(recordings: LeRobotDataset, config: ConvertConfig) -> Target:
    for name in (STATE, ACTION):
        if name not in recordings.features:
            raise DatasetError(f"{recordings.root}: meta/info.json describes no {name!r}")
    state, action = recordings.features[STATE], recordings.features[ACTION]
    try:
        to_hz = exact_rate(config.fps)
    except ValueError as error:
        raise UsageError(f"{error} (--fps)") from None
    if not can_encode(config.image_size, to_hz, config.codec):
        raise UsageError(
            f"{config.codec} cannot be written with {config.image_size} × {config.image_size} "
            f"pixels at {to_hz} frames/s (--image-size, --fps, --codec)"
        )
    return Target(
        embodiment=choose_embodiment(config.embodiment, state, action),
        row_format=RowFormat(
            columns=recordings.columns,
            state_width=state.width,
            action_width=action.width,
            fps=recordings.fps,
            tasks=frozenset(recordings.tasks),
        ),
        from_hz=exact_rate(recordings.fps),
        to_hz=to_hz,
        image_size=config.image_size,
        codec=config.codec,
    )


def _check_lengths(recordings: LeRobotDataset, target: Target, horizon: int) -> None:
    lengths = [
        resampled_length(episode.length, target.from_hz, target.to_hz)
        for episode in recordings.episodes
    ]
    if not lengths and not recordings.faults:
        raise DatasetError(f"{recordings.root} has no episodes")
    if lengths and max(lengths) < horizon and target.embodiment.relative_groups:
        raise DatasetError(
            f"the longest episode has {max(lengths)} rows at {float(target.to_hz):g} Hz: "
            f"expected at least one of {horizon}, the action chunk's length (--horizon)"
        )


def _convert_episodes(
    recordings: LeRobotDataset, target: Target, staging: Staging, executor: Executor
) -> tuple[Fault, ...]:
    """Convert every faultless episode that is not finished yet; return all faults found."""
    faults = list(recordings.faults)
    named = {fault.episode for fault in faults}
    finished = staging.finished()
    whole = [episode for episode in recordings.episodes if episode.index not in named]
    tasks = [
        EpisodeTask(recordings.root, episode, target)
        for episode in whole
        if episode.index not in finished
    ]
    frames, done = 0, len(whole) - len(tasks)
    with ProgressBar("converting", len(whole), "episodes", done=done) as progress:
        for outcome in executor.map_unordered(convert_episode, tasks):
            if outcome.error is None:
                staging.keep(outcome.task.episode.index, outcome.unwrap())
            else:
                faults += _faults_of(outcome, recordings)
            frames += outcome.task.episode.length
            progress.show(note=f"{frames / progress.seconds():.0f} frames/s")
            progress.advance()
    return in_reading_order(faults)


def _faults_of(
    outcome: Outcome[EpisodeTask, ConvertedEpisode], recordings: LeRobotDataset
) -> tuple[Fault, ...]:
    """Convert an episode's error to faults: one episode never stops the others' conversion."""
    error, episode = outcome.error, outcome.task.episode
    if isinstance(error, FaultyEpisode):
        return error.faults
    what = f"cannot be converted: {type(error).__name__}: {error}"
    return (Fault(recordings.name_of(episode.video.path), what, episode.index),)


def _good_episodes(
    recordings: LeRobotDataset, faults: Sequence[Fault], skip_bad: bool, output: Path
) -> list[int]:
    if faults and not skip_bad:
        summary = (
            f"{recordings.root}: {len(faults)} faults, so {output.name} was not created "
            "(--skip-bad converts the rest; finished episodes are kept for that)"
        )
        raise FaultyDataset(summary, faults)
    bad = {fault.episode for fault in faults}
    good = [episode.index for episode in recordings.episodes if episode.index not in bad]
    if not good:
        raise FaultyDataset(f"{recordings.root}: no episode is without faults", faults)
    return good
