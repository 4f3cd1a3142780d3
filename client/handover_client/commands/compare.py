"""The command `handover compare`: two evaluation runs side by side, before and after."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import tyro
from handover_common import UsageError
from tyro.conf import Positional

if TYPE_CHECKING:
    from handover_client.comparison.comparison import Comparison

# typing.Optional: tyro checks such a default without importing typeguard, which would take a third
# of the time of --help
_PageFile = Annotated[Optional[Path], tyro.conf.arg(metavar="PAGE.html")]  # noqa: UP045

_RunA = Positional[Annotated[Path, tyro.conf.arg(metavar="RUN_A")]]
_RunB = Positional[Annotated[Path, tyro.conf.arg(metavar="RUN_B")]]

# kind of run -> the function that compares two of its metrics.json, "module:function"
COMPARERS = {
    "replay": "handover_client.comparison.replays:compare_replays",
    "rollout": "handover_client.comparison.rollouts:compare_rollouts",
}


@dataclass(frozen=True)
class CompareConfig:
    """Show two evaluation runs side by side: before, after, and the difference."""

    run_a: _RunA
    """Folder of the run before."""
    run_b: _RunB
    """Folder of the run after."""
    output: _PageFile = None
    """Also write the comparison as an HTML page to this file."""
    anyway: bool = False
    """Compare runs whose figures do not belong beside each other; the differences are named."""


def main(config: CompareConfig) -> "Comparison":
    """Print the comparison; returns it.

    Raises EvaluationError for folders that are no runs, or runs that cannot be compared.
    """
    from handover_client.comparison.comparison import read_run
    from handover_client.report.comparison_terminal import print_comparison

    if config.output is not None and config.output.is_dir():
        raise UsageError(f"--output {config.output} is a folder: expected the name of a file")
    before, after = read_run(config.run_a), read_run(config.run_b)
    with _known_figures(config):
        comparison = _comparer(before, after)(before, after)
    _check_comparable(comparison, config.anyway)
    print_comparison(comparison)
    if config.output is not None:
        from handover_client.report.comparison import compare_page
        from handover_client.results.run_folder import write_file

        with _known_figures(config):
            page = compare_page(comparison, (config.run_a, config.run_b), (before, after))
        write_file(config.output, page)
        print(f"page: {config.output}")
    return comparison


@contextmanager
def _known_figures(config: CompareConfig) -> Iterator[None]:
    """Raise EvaluationError where figures that the comparison needs are not in the runs."""
    from handover_client.errors import EvaluationError

    try:
        yield
    except (KeyError, ValueError, TypeError) as error:
        raise EvaluationError(
            f"{config.run_a} or {config.run_b} holds a run that this version cannot compare "
            f"({type(error).__name__}: {error})"
        ) from None


def _comparer(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> "Callable[[Mapping[str, Any], Mapping[str, Any]], Comparison]":
    from handover_client.errors import EvaluationError

    kinds = [before["kind"], after["kind"]]
    if kinds[0] != kinds[1] or kinds[0] not in COMPARERS:
        raise EvaluationError(
            f"cannot compare a {kinds[0]} run with a {kinds[1]} run: expected two runs of one kind "
            f"({', '.join(COMPARERS)})"
        )
    module, _, function = COMPARERS[kinds[0]].partition(":")
    return getattr(importlib.import_module(module), function)


def _check_comparable(comparison: "Comparison", anyway: bool) -> None:
    from handover_client.errors import EvaluationError

    if comparison.mismatches and not anyway:
        raise EvaluationError(
            f"the runs do not belong beside each other: {'; '.join(comparison.mismatches)}; "
            "--anyway compares them all the same"
        )


def cli() -> None:
    """Parse the command line and run."""
    main(tyro.cli(CompareConfig))


if __name__ == "__main__":
    cli()
