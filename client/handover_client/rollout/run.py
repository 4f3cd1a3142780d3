"""A rollout from its plan to its folder: what is still to play, the progress, the figures."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from handover_proto import ServerInfo
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from handover_client.errors import EvaluationError
from handover_client.results.provenance import rollout_provenance
from handover_client.rollout.config import RolloutConfig
from handover_client.rollout.episode import EpisodeTask, FinishedEpisode
from handover_client.rollout.figures import rollout_figures
from handover_client.rollout.folder import RolloutFolder
from handover_client.rollout.loop import PlayedEpisode
from handover_client.rollout.record import EpisodeRecord

PlayAll = Callable[[Iterable[EpisodeTask]], Iterator[FinishedEpisode]]

_MOST_LOST_IN_A_ROW = 3  # episodes without a server: then it will not come back by itself
# Flags that change what a rollout needs or how long it takes, not what comes of an episode.
_NOT_OF_THE_EPISODES = (
    "output",
    "server",
    "seed",
    "seeds_from",
    "episodes",
    "workers",
    "cluster",
    "connect_timeout_s",
    "call_timeout_s",
    "reconnect_s",
    "security",
    "rerun",
)


def run_rollout(
    config: RolloutConfig,
    tasks: Sequence[EpisodeTask],
    info: ServerInfo | None,
    objects: Sequence[str],
    play_all: PlayAll,
) -> dict[str, Any]:
    """Play what is not finished yet, write the folder; returns the figures of metrics.json.

    objects: names of what has a start pose. Raises EvaluationError for a folder that cannot be
    used, and when the server is gone for several episodes in a row: the rest waits for a rerun.
    """
    from handover_client.report.rerun import write_rollout_rrd
    from handover_client.report.rollout_page import write_rollout

    plan = _plan(config, tasks, info)
    with RolloutFolder(config.output, plan) as folder:
        _play_rest(folder, tasks, play_all)
        if config.videos == "failures":
            _film_a_success(folder, tasks, play_all)
        figures = {
            "kind": "rollout",
            **rollout_figures(folder.records(), tasks[0].control_rate_hz),
            "settings": plan,
            "instruction": tasks[0].text,
            "objects": list(objects),
            "control_rate_hz": tasks[0].control_rate_hz,
            "provenance": rollout_provenance(info, config.server),
        }
        write_rollout(folder.path, figures, folder.records())
        folder.publish()
    if config.rerun is not None:
        rate_hz = tasks[0].control_rate_hz
        write_rollout_rrd(config.rerun, config.output, folder.records(), rate_hz)
    return figures


def _plan(
    config: RolloutConfig, tasks: Sequence[EpisodeTask], info: ServerInfo | None
) -> dict[str, Any]:
    """List what decides the episodes: a run that goes on must have the same."""
    settings = dataclasses.asdict(config)
    for name in _NOT_OF_THE_EPISODES:
        del settings[name]
    return {
        **settings,
        "horizon": tasks[0].horizon,
        "chunk_rate_hz": tasks[0].chunk_rate_hz,
        "checkpoint_hash": info.spec.checkpoint_hash if info else "",
        "processor_hash": info.spec.processor_hash if info else "",
        "dtype": info.spec.dtype if info else "",
        "denoising_steps": info.spec.denoising_steps if info else 0,
        "seeds": {str(task.episode): task.seed for task in tasks},
    }


def _play_rest(folder: RolloutFolder, tasks: Sequence[EpisodeTask], play_all: PlayAll) -> None:
    rest = [task for task in tasks if task.episode not in folder.finished]
    lost_in_a_row = 0
    with _progress_bar() as progress:
        bar = progress.add_task("", total=len(tasks))
        _show(progress, bar, folder.records())
        for finished in play_all(rest):
            folder.keep(finished.record, finished.video, finished.trace)
            _show(progress, bar, folder.records())
            lost = finished.record.ended == "server_lost"
            lost_in_a_row = lost_in_a_row + 1 if lost else 0
            if lost_in_a_row == min(_MOST_LOST_IN_A_ROW, len(rest)):
                played = sum(record.ended != "server_lost" for record in folder.records())
                raise EvaluationError(
                    f"{finished.record.error}; {played} of {len(tasks)} episodes are done: when "
                    "the server is back, the same command goes on with the others"
                )


def _film_a_success(folder: RolloutFolder, tasks: Sequence[EpisodeTask], play_all: PlayAll) -> None:
    """Draw the first success from its trace: something to see the failures beside."""
    successes = [record for record in folder.records() if record.success]
    if not successes or any(record.video for record in successes):
        return
    first = successes[0]
    task = next(task for task in tasks if task.episode == first.episode)
    played = PlayedEpisode(first, folder.trace(first.episode))
    with _progress_bar() as progress:
        progress.add_task("drawing a success", total=1)
        for finished in play_all([dataclasses.replace(task, played=played)]):
            folder.keep(finished.record, finished.video)


def _progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _show(progress: Progress, bar: Any, records: Sequence[EpisodeRecord]) -> None:
    successes = sum(record.success for record in records)
    rate = f"success {100 * successes / len(records):.0f} %" if records else "episodes"
    progress.update(bar, completed=len(records), description=f"{rate:<14}")
    if records and not progress.console.is_terminal:  # a log has no bar: it gets lines
        progress.console.print(f"{len(records)} of {progress.tasks[bar].total} episodes, {rate}")
