"""Seeds of a recording: tried in order until there are enough episodes, on any executor."""

from collections.abc import Callable
from typing import Any

from handover_common import ProgressBar
from handover_common.parallel import Executor
from handover_conversion import DatasetError

from handover_envs.record.config import RecordConfig
from handover_envs.record.demonstration import Demonstration
from handover_envs.record.folder import RecordingFolder

_FEWEST_SUCCESSES = 0.5  # of the seeds tried, from the 10th on
_FEWEST_TAKEOVERS = 0.1  # that succeed: the policy may have left the objects anywhere
_MOST_SPARED = 20  # seeds for each episode, in which the policy needs nobody


class ExpertFailed(DatasetError):
    """An expert that fails so often that it or the simulator must be broken."""


def record_seeds(
    config: RecordConfig,
    folder: RecordingFolder,
    executor: Executor,
    progress: ProgressBar,
    work: Callable[[Any], Demonstration | str | None],
    make_task: Callable[[int], Any],
) -> list[int]:
    """Try seeds in order until there are enough successes; return their seeds.

    work: plays the task of a seed, in a worker; None has failed, a word is another way of leaving
        no episode
    """
    while True:
        left_out = len(folder.left_out())
        tried = range(config.seed, config.seed + config.episodes + left_out)
        known = folder.finished() | folder.left_out()
        tasks = [make_task(seed) for seed in tried if seed not in known]
        for outcome in executor.map_unordered(work, tasks):
            episode = outcome.unwrap()
            if isinstance(episode, Demonstration):
                folder.keep(episode)
                progress.advance()
            else:
                folder.drop(outcome.task.seed, episode or "failed")
                progress.show(note=_note(folder))
            _check_successes(folder, _FEWEST_TAKEOVERS if config.takeover else _FEWEST_SUCCESSES)
        kept = sorted(folder.finished())
        if len(kept) >= config.episodes:
            return kept[: config.episodes]
        if len(folder.left_out("spared")) > _MOST_SPARED * (1 + len(kept)):
            raise DatasetError(
                f"the policy needed no takeover in {len(folder.left_out('spared'))} episodes, and "
                f"one in {len(kept)}: take over at a moment instead (--takeover-when either)"
            )


def _note(folder: RecordingFolder) -> str:
    spared = len(folder.left_out("spared"))
    failed = f"{len(folder.left_out('failed'))} failed"
    return f"{failed}, {spared} needed nobody" if spared else failed


def _check_successes(folder: RecordingFolder, fewest: float) -> None:
    failed, kept = len(folder.left_out("failed")), len(folder.finished())
    if failed + kept >= 10 and kept < fewest * (failed + kept):
        raise ExpertFailed(
            f"only {kept} of {failed + kept} demonstrations succeeded, expected nearly all: "
            "are the versions of mujoco and gym-aloha those of the extra 'sim'?"
        )
