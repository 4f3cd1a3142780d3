"""Results of a run, read back from its folder, and the outcomes of its episodes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handover_client.errors import EvaluationError


def read_run(place: Path) -> dict[str, Any]:
    """Read a run's figures: of its folder, or of a file in the form of its metrics.json.

    Raises EvaluationError where there are none.
    """
    path = place if place.is_file() else place / "metrics.json"
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EvaluationError(
            f"{place} has no metrics.json: expected the --output folder of an evaluation"
        ) from None
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path} cannot be read: {error}") from None
    if not isinstance(figures, dict) or not isinstance(figures.get("kind"), str):
        raise EvaluationError(f"{path} is not an evaluation's: it has no 'kind'")
    return figures


def outcomes_by_seed(figures: Mapping[str, Any], outcome: str = "success") -> dict[int, bool]:
    """Outcome of each episode of a rollout by its seed, to pair it with another run's.

    One that lost its server says nothing of the policy and is left out; runs of before have such.
    """
    return {
        each["seed"]: each[outcome]
        for each in figures["per_episode"]
        if each["ended"] != "server_lost"
    }
