"""A rollout from its plan to its figures: the episodes still to play, with a progress bar."""

import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from handover_common import ProgressBar

from handover_client.errors import EvaluationError
from handover_client.results.provenance import rollout_provenance
from handover_client.results.sequential import MeanSequence
from handover_client.results.stopping import Question
from handover_client.rollout.episode import EpisodeTask, FinishedEpisode
from handover_client.rollout.figures import rollout_figures
from handover_client.rollout.folder import RolloutFolder
from handover_client.rollout.loop import PlayedEpisode
from handover_client.rollout.record import EpisodeRecord

PlayAll = Callable[[Iterable[EpisodeTask]], Iterator[FinishedEpisode]]

_MOST_LOST = 3  # losses of the server in a row, or of one episode: it will not come back by itself


@dataclass(frozen=True)
class Rollout:
    """A rollout that fits its server, before its first episode.

    objects: names of the objects that have a start pose; until: a question about the success rate
    that ends it once it is answered
    """

    tasks: Sequence[EpisodeTask]
    objects: Sequence[str]
    until: Question | None = None

    def plan(self) -> dict[str, Any]:
        """List what decides the episodes: a resumed run must have the same."""
        first = self.tasks[0]
        spec = first.server.info.spec if first.server else None
        address = first.server.address if first.server else ""
        settings = dataclasses.asdict(first.settings)
        del settings["policy_rate_hz"]  # chunk_rate_hz is what came of it
        return {
            **settings,
            "camera": list(first.settings.camera),
            "group": list(first.settings.group),
            "views": {view.name: [view.source, *view.height_width] for view in first.view.cameras},
            "horizon": first.horizon,
            "chunk_rate_hz": first.chunk_rate_hz,
            "checkpoint_hash": spec.checkpoint_hash if spec else "",
            # without a hash nothing else tells another policy's episodes from this one's
            **({"server": address} if spec and not spec.checkpoint_hash else {}),
            "processor_hash": spec.processor_hash if spec else "",
            "dtype": spec.dtype if spec else "",
            "denoising_steps": spec.denoising_steps if spec else 0,
            "seeds": {str(task.episode): task.seed for task in self.tasks},
        }

    def run(self, folder: RolloutFolder, play_all: PlayAll) -> dict[str, Any]:
        """Play what is not finished yet into the folder; returns all of metrics.json.

        Raises EvaluationError as `play`.
        """
        first = self.tasks[0]
        answer = _Answer(self.until)
        with ProgressBar("", len(self.tasks), transient=True) as bar:

            def look() -> bool:
                _show(bar, folder.records(), len(self.tasks))
                return answer.given_by(folder)

            self.play(folder, self.tasks, play_all, look)
        if first.settings.videos == "failures":
            _film_a_success(folder, self.tasks, play_all)
        info, address = (first.server.info, first.server.address) if first.server else (None, "")
        return {
            "kind": "rollout",
            **rollout_figures(folder.records(), first.control_rate_hz, folder.lost),
            "until": answer.figures(len(self.tasks)),
            "settings": self.plan(),
            "instruction": first.view.task,
            "objects": list(self.objects),
            "control_rate_hz": first.control_rate_hz,
            "provenance": rollout_provenance(info, address),
        }

    def play(
        self,
        folder: RolloutFolder,
        tasks: Sequence[EpisodeTask],
        play_all: PlayAll,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        """Play into the folder what is not finished yet of some tasks.

        An episode that loses its server says nothing of the policy: it is played again, before any
        other, from its seed.

        is_over: asked before the first episode and after each; ends the play. Raises
        EvaluationError where the server is lost several times in a row, or by one episode: what is
        finished is kept, and the rest waits for a rerun.
        """
        if is_over():
            return
        waiting = deque(task for task in tasks if task.episode not in folder.finished)
        task_of = {task.episode: task for task in waiting}
        lost_in_a_row, lost_by = 0, Counter[int]()
        while waiting:
            for finished in play_all(_taken(waiting)):
                record = finished.record
                folder.keep(record, finished.video, finished.trace)
                if not record.lost_server:
                    lost_in_a_row = 0
                    if is_over():
                        return
                    continue
                lost_in_a_row += 1
                lost_by[record.episode] += 1
                if _MOST_LOST in (lost_in_a_row, lost_by[record.episode]):
                    raise self._gone(record, folder)
                waiting.appendleft(task_of[record.episode])

    def _gone(self, record: EpisodeRecord, folder: RolloutFolder) -> EvaluationError:
        server = self.tasks[0].server
        where = f"{server.address}: " if server and server.address else ""
        return EvaluationError(
            f"{where}episode {record.episode}: {record.error}; {len(folder.finished)} of "
            f"{len(self.tasks)} episodes are done: when the server is back, the same command plays "
            "the others"
        )


class _Answer:
    """Answer to --until from the episodes in their order, whichever end first."""

    def __init__(self, question: Question | None) -> None:
        self._question = question
        self._sequence = MeanSequence()
        self.value: bool | None = None

    def given_by(self, folder: RolloutFolder) -> bool:
        """Take the episodes that are finished without a gap; tell whether they answer it.

        Then the folder keeps no episode after the one that did: those under way were not asked for.
        """
        if self._question is None:
            return False
        while self.value is None and (record := folder.finished.get(self._episodes())) is not None:
            self.value = self._question.answer(self._sequence.add(self._question.value(record)))
        if self.value is not None:
            folder.keep_first(self._episodes())
        return self.value is not None

    def figures(self, planned: int) -> dict[str, Any] | None:
        """Give what metrics.json says of it; None without a question."""
        if self._question is None:
            return None
        return {"question": str(self._question), "answer": self.value, "episodes_planned": planned}

    def _episodes(self) -> int:
        return len(self._sequence.intervals)


def _taken(waiting: deque[EpisodeTask]) -> Iterator[EpisodeTask]:
    """Take tasks from a queue that may be added to meanwhile."""
    while waiting:
        yield waiting.popleft()


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
