"""Which seed each episode starts from: counted from the first, or as a recording has them."""

import json
from pathlib import Path

from handover_client.errors import EvaluationError
from handover_client.rollout.config import RolloutConfig

_RECORDING = "meta/recording.json"  # handover record writes it beside LeRobot's own files


def episode_seeds(config: RolloutConfig) -> dict[int, int]:
    """Give each episode its seed: {episode: seed}. Raises EvaluationError for another recording."""
    if config.seeds_from is None:
        return {episode: config.seed + episode for episode in range(config.episodes)}
    seeds = recorded_seeds(config.seeds_from, config.task)
    return dict(enumerate(seeds[: config.episodes]))


def recorded_seeds(recording: Path, task: str) -> list[int]:
    """Read the seed of every recorded episode. Raises EvaluationError."""
    path = recording / _RECORDING
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        recorded_task, seeds = told["task"], [int(each["seed"]) for each in told["episodes"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(
            f"{path} does not tell the episodes' seeds ({error!r}): expected a recording made by "
            "handover record (--seeds-from)"
        ) from None
    if recorded_task != task:
        raise EvaluationError(
            f"{recording} is a recording of {recorded_task}, expected {task} (--task, --seeds-from)"
        )
    if not seeds:
        raise EvaluationError(f"{recording} has no episodes (--seeds-from)")
    return seeds
