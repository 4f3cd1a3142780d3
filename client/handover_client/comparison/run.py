"""Comparison of two runs, read from their folders and checked for comparability."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from handover_client.comparison.comparison import Comparison
from handover_client.comparison.replays import compare_replays
from handover_client.comparison.rollouts import compare_rollouts
from handover_client.errors import EvaluationError
from handover_client.results.run_folder import read_run

_COMPARE = {"replay": compare_replays, "rollout": compare_rollouts}


def compare_runs(
    before: Path, after: Path, anyway: bool = False
) -> tuple[Comparison, tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Compare two runs of one kind; returns the comparison, and metrics.json of both.

    anyway: compare runs whose figures are not comparable, too. Raises EvaluationError for those
    otherwise, and for folders that hold no run.
    """
    runs = read_run(before), read_run(after)
    kinds = [run["kind"] for run in runs]
    if kinds[0] != kinds[1] or kinds[0] not in _COMPARE:
        raise EvaluationError(
            f"cannot compare a {kinds[0]} run with a {kinds[1]} run: expected two runs of one kind "
            f"({', '.join(_COMPARE)})"
        )
    with known_figures(before, after):
        comparison = _COMPARE[kinds[0]](*runs)
    if comparison.mismatches and not anyway:
        raise EvaluationError(
            f"the runs are not comparable: {'; '.join(comparison.mismatches)}; --anyway compares "
            "them all the same"
        )
    return comparison, runs


@contextmanager
def known_figures(before: Path, after: Path) -> Iterator[None]:
    """Raise EvaluationError where figures that a comparison needs are not in the runs."""
    try:
        yield
    except (KeyError, ValueError, TypeError) as error:
        raise EvaluationError(
            f"{before} or {after} holds a run that this version cannot compare "
            f"({type(error).__name__}: {error})"
        ) from None
