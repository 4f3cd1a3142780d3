"""Conversion of a whole dataset: plan, convert the unfinished episodes, assemble, publish."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handover_common import ProgressBar
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
from handover_conversion.groot.writer import ConvertedEpisode, DatasetShape
from handover_conversion.pipeline.assembly import assemble
from handover_conversion.pipeline.cameras import choose_cameras
from handover_conversion.pipeline.config import (
    ConvertConfig,
    check,
    chosen_episodes,
    source_and_output,
)
from handover_conversion.pipeline.episode import EpisodeTask, Target, convert_episode
from handover_conversion.pipeline.plan import make_plan, named_alike
from handover_conversion.pipeline.preflight import check_free, check_place
from handover_conversion.pipeline.source import (
    describe_source,
    failed_episodes,
    find_source,
    open_recordings,
)
from handover_conversion.pipeline.staging import Staging, finish_publishing
from handover_conversion.pipeline.target import make_target
from handover_conversion.recordings import Recordings
from handover_conversion.resampling.grid import resampled_length
from handover_conversion.robot.choose import choose_robot
from handover_conversion.robot.columns import Recorded

_MOST_NOTES = 20  # in the terminal


@dataclass(frozen=True)
class ConversionReport:
    """What was converted, and what was left out."""

    output: Path
    episodes: int
    rows: int
    resumed: int  # episodes that an earlier, interrupted run had finished
    left_out: tuple[Fault, ...]
    seconds: float
    notes: tuple[str, ...] = ()  # what was decided without being told, and done to episodes

    def summary(self) -> str:
        """Format the report for the terminal; the first line is complete in itself."""
        line = f"{self.output}: {self.episodes} episodes, {self.rows} rows, {self.seconds:.1f} s"
        if self.resumed:
            line += f" ({self.resumed} episodes were finished before)"
        lines = [line, *(f"  note: {note}" for note in self._few_notes())]
        if not self.left_out:
            return "\n".join(lines)
        episodes = {fault.episode for fault in self.left_out if fault.episode is not None}
        lines[0] += f"; left out {len(episodes)} episodes:"
        return report("\n".join(lines), self.left_out)

    def _few_notes(self) -> tuple[str, ...]:
        if len(self.notes) <= _MOST_NOTES:
            return self.notes
        more = len(self.notes) - _MOST_NOTES
        return (*self.notes[:_MOST_NOTES], f"{more} more are in meta/conversion.json")


def convert(config: ConvertConfig) -> ConversionReport:
    """Convert a dataset. Raises UsageError, and DatasetError naming every fault found."""
    check(config)
    started = time.monotonic()
    source, output = source_and_output(config)
    root = find_source(source, config.revision, None)
    output = output.expanduser().absolute()
    published = finish_publishing(output)
    if published is None:
        check_place(root, output, config.overwrite)
    recordings, target, notes = _prepare(root, source, config)
    check_free(output, recordings, target)
    with open_executor(config.workers, config.cluster) as executor:
        plan = make_plan(source, config, recordings, target, notes, executor)
        if published is not None and named_alike(published, plan) == plan:
            return _report_finished(output, time.monotonic() - started)
        check_place(root, output, config.overwrite)  # again: reading the source takes time
        return _convert_planned(recordings, target, output, plan, config, executor, started)


def _prepare(
    root: Path, source: str, config: ConvertConfig
) -> tuple[Recordings, Target, list[str]]:
    """Read the source's metadata, and settle what becomes of its cameras, columns and words."""
    info = describe_source(root, config.source_fps)
    recorded = Recorded(info.features, config.state_column, config.action_column)
    robot_name = config.robot or config.embodiment
    robot = choose_robot(robot_name, info, recorded)
    cameras, unused = choose_cameras(config, robot, info)
    keys = [camera.key for camera in cameras]
    find_source(source, config.revision, keys)  # the rest of it
    recordings = open_recordings(info, keys, config.source_fps is not None)
    chosen = chosen_episodes(config)
    if chosen is not None:
        recordings = recordings.chosen(chosen)
    recordings, judged = _without_failures(recordings, config.successful)
    target, notes = make_target(recordings, robot, cameras, config)
    _check_lengths(recordings, target, config.horizon)
    if unused:
        notes.insert(0, f"left out cameras: {', '.join(unused)} (--camera all takes them)")
    return recordings, target, [*judged, *notes]


def _without_failures(recordings: Recordings, leave_out: bool) -> tuple[Recordings, Sequence[str]]:
    """Leave out the episodes without success, or note that they are there.

    Raises DatasetError where they are to be left out and nothing tells, or none is left.
    """
    failed = failed_episodes(recordings)
    if leave_out and failed is None:
        raise DatasetError(
            f"{recordings.root} has no column success or next.success: choose by --episodes "
            "instead of --successful"
        )
    if not failed:
        return recordings, ()
    listed = sorted(failed)
    named = ", ".join(map(str, listed[:20])) + (f" … {listed[-1]}" * (len(listed) > 20))
    said = f"{len(failed)} of {len(recordings.episodes)} episodes without success"
    if not leave_out:
        return recordings, (f"{said}: {named} (--successful leaves them out)",)
    kept = frozenset(episode.index for episode in recordings.episodes) - failed
    if not kept:
        raise DatasetError(f"no episode of {recordings.root} is a success (--successful)")
    faulty = {fault.episode for fault in recordings.faults if fault.episode is not None}
    return recordings.chosen(kept | faulty), (f"left out {said}: {named}",)


def _convert_planned(
    recordings: Recordings,
    target: Target,
    output: Path,
    plan: dict[str, Any],
    config: ConvertConfig,
    executor: Executor,
    started: float,
) -> ConversionReport:
    words = target.words
    own = {column: name for name, column in words.annotation_columns.items()}
    shape = DatasetShape(
        robot_type=recordings.source.robot_type,
        fps=float(target.to_hz),
        cameras=target.cameras,
        robot=target.robot,
        annotations={n: own.get(column, "task_index") for n, column in words.annotations.items()},
    )
    with Staging(output, plan, start_over=config.overwrite) as staging:
        resumed = len(staging.finished())
        faults = _convert_episodes(recordings, target, staging, executor)
        chosen = _good_episodes(recordings, faults, config.skip_bad, output)
        rows, notes = assemble(staging, shape, words.tasks, chosen, faults, plan)
        check_place(recordings.root, output, config.overwrite)  # something may have appeared there
        staging.publish()
    seconds = time.monotonic() - started
    return ConversionReport(output, len(chosen), rows, resumed, faults, seconds, tuple(notes))


def _report_finished(output: Path, seconds: float) -> ConversionReport:
    """Report a dataset that an earlier run finished and moved into place."""
    dataset = GrootDataset.open(output)
    left_out = tuple(
        Fault(fault["file"], fault["fault"], fault["source_episode_index"])
        for fault in (dataset.conversion or {}).get("left_out", [])
    )
    episodes, rows = len(dataset.episodes), sum(entry.length for entry in dataset.episodes)
    notes = tuple((dataset.conversion or {}).get("notes", []))
    return ConversionReport(output, episodes, rows, episodes, left_out, seconds, notes)


def _check_lengths(recordings: Recordings, target: Target, horizon: int) -> None:
    lengths = [
        resampled_length(episode.length, target.from_hz, target.to_hz)
        for episode in recordings.episodes
    ]
    if not lengths and not recordings.faults:
        raise DatasetError(f"{recordings.root} has no episodes")
    if lengths and max(lengths) < horizon and target.robot.relative_groups:
        raise DatasetError(
            f"the longest episode has {max(lengths)} rows at {float(target.to_hz):g} Hz: "
            f"expected at least one of {horizon}, the action chunk's length (--horizon)"
        )


def _convert_episodes(
    recordings: Recordings, target: Target, staging: Staging, executor: Executor
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
    outcome: Outcome[EpisodeTask, ConvertedEpisode], recordings: Recordings
) -> tuple[Fault, ...]:
    """Convert an episode's error to faults: one episode never stops the others' conversion."""
    error, episode = outcome.error, outcome.task.episode
    if isinstance(error, FaultyEpisode):
        return error.faults
    what = f"cannot be converted: {type(error).__name__}: {error}"
    return (Fault(recordings.name_of(episode.rows.path), what, episode.index),)


def _good_episodes(
    recordings: Recordings, faults: Sequence[Fault], skip_bad: bool, output: Path
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
