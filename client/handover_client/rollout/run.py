"""A rollout from its plan to its figures: the episodes still to play, with a progress bar."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from handover_common import ProgressBar

from handover_client.errors import EvaluationError
from handover_client.results.provenance import rollout_provenance
from handover_client.rollout.episode import EpisodeTask, FinishedEpisode
from handover_client.rollout.figures import rollout_figures
from handover_client.rollout.folder import RolloutFolder
from handover_client.rollout.loop import PlayedEpisode
from handover_client.rollout.record import EpisodeRecord

PlayAll = Callable[[Iterable[EpisodeTask]], Iterator[FinishedEpisode]]

_MOST_LOST_IN_A_ROW = 3  # episodes without a server: then it will not come back by itself


@dataclass(frozen=True)
class Rollout:
    """A rollout that fits its server, before its first episode.

    objects: names of the objects that have a start pose
    """

    tasks: Sequence[EpisodeTask]
    objects: Sequence[str]

    def plan(self) -> dict[str, Any]:
        """List what decides the episodes: a resumed run must have the same."""
        first = self.tasks[0]
        spec = first.server.info.spec if first.server else None
        return {
            **dataclasses.asdict(first.settings),
            "camera": list(first.settings.camera),
            "group": list(first.settings.group),
            "views": {view.name: [view.source, *view.height_width] for view in first.view.cameras},
            "horizon": first.horizon,
            "chunk_rate_hz": first.chunk_rate_hz,
            "checkpoint_hash": spec.checkpoint_hash if spec else "",
            "processor_hash": spec.processor_hash if spec else "",
            "dtype": spec.dtype if spec else "",
            "denoising_steps": spec.denoising_steps if spec else 0,
            "seeds": {str(task.episode): task.seed for task in self.tasks},
        }

    def run(self, folder: RolloutFolder, play_all: PlayAll) -> dict[str, Any]:
        """Play what is not finished yet into the folder; returns all of metrics.json.

        Raises EvaluationError when the server is gone for several episodes in a row: the rest
        waits for a rerun.
        """
        first = self.tasks[0]
        _play_rest(folder, self.tasks, play_all)
        if first.settings.videos == "failures":
            _film_a_success(folder, self.tasks, play_all)
        info, address = (first.server.info, first.server.address) if first.server else (None, "")
        return {
            "kind": "rollout",
            **rollout_figures(folder.records(), first.control_rate_hz),
            "settings": self.plan(),
            "instruction": first.view.task,
            "objects": list(self.objects),
            "control_rate_hz": first.control_rate_hz,
            "provenance": rollout_provenance(info, address),
        }


def _play_rest(folder: RolloutFolder, tasks: Sequence[EpisodeTask], play_all: PlayAll) -> None:
    rest = [task for task in tasks if task.episode not in folder.finished]
    lost_in_a_row = 0
    with ProgressBar("", len(tasks), transient=True) as bar:
        _show(bar, folder.records(), len(tasks))
        for finished in play_all(rest):
            folder.keep(finished.record, finished.video, finished.trace)
            _show(bar, folder.records(), len(tasks))
            lost = finished.record.ended == "server_lost"
            lost_in_a_row = lost_in_a_row + 1 if lost else 0
            if lost_in_a_row == min(_MOST_LOST_IN_A_ROW, len(rest)):
                played = sum(record.ended != "server_lost" for record in folder.records())
                raise EvaluationError(
                    f"{finished.record.error}; {played} of {len(tasks)} episodes are done: when "
                    "the server is back, the same command plays the others"
                )


def _film_a_success(folder: RolloutFolder, tasks: Sequence[EpisodeTask], play_all: PlayAll) -> None:
    """Draw the first success from its trace, to compare the failures with."""
    successes = [record for record in folder.records() if record.success]
    if not successes or any(record.video for record in successes):
        return
    first = successes[0]
    task = next(task for task in tasks if task.episode == first.episode)
    played = PlayedEpisode(first, folder.trace(first.episode))
    with ProgressBar("drawing a success", 1, transient=True):
        for finished in play_all([dataclasses.replace(task, played=played)]):
            folder.keep(finished.record, finished.video)


def _show(bar: ProgressBar, records: Sequence[EpisodeRecord], total: int) -> None:
    successes = sum(record.success for record in records)
    rate = f"success {100 * successes / len(records):.0f} %" if records else "episodes"
    bar.show(done=len(records), what=f"{rate:<14}")
    if records:
        bar.log(f"{len(records)} of {total} episodes, {rate}")
