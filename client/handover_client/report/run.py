"""What the report shows of a finished run, whatever its kind, read from the run's folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handover_client.errors import EvaluationError
from handover_client.rollout.record import EpisodeRecord


def run_section(folder: Path, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Gather a section of the page; `figures` is the metrics.json of `folder`.

    Raises EvaluationError for files that are missing, or not those of an evaluation.
    """
    try:
        if figures["kind"] == "replay":
            from handover_client.report.replay import replay_section

            return replay_section(folder, figures)
        if figures["kind"] == "rollout":
            from handover_client.report.rollout import rollout_section

            return rollout_section(folder, figures, _records(folder))
    except OSError as error:
        raise EvaluationError(f"{folder} is not whole: {error}") from None
    except (KeyError, ValueError, TypeError) as error:
        raise EvaluationError(
            f"{folder} holds a run that this version cannot show ({type(error).__name__}: {error})"
        ) from None
    raise EvaluationError(
        f"{folder} holds a run of the kind {figures['kind']!r}: expected replay or rollout"
    )


def _records(folder: Path) -> list[EpisodeRecord]:
    lines = (folder / "episodes.jsonl").read_text(encoding="utf-8").splitlines()
    return [EpisodeRecord.from_line(line) for line in lines]
