"""The command `handover compare`: two evaluation runs side by side, before and after."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import tyro
from handover_common import UsageError

if TYPE_CHECKING:
    from handover_client.comparison.comparison import Comparison

# ruff: noqa: UP045, Optional for tyro's sake: see handover_common.command
_PageFile = Annotated[Optional[Path], tyro.conf.arg(metavar="PAGE.html")]
_RunA = tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN_A")]]
_RunB = tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN_B")]]


@dataclass(frozen=True)
class CompareConfig:
    """Show two evaluation runs side by side: before, after, and the difference."""

    run_a: _RunA
    """Folder of the run before, or a file in the form of its metrics.json."""
    run_b: _RunB
    """Folder of the run after, or such a file."""
    output: _PageFile = None
    """Also write the comparison as an HTML page to this file."""
    anyway: bool = False
    """Compare runs that are not comparable, too; the differences are listed."""


def main(config: CompareConfig) -> "Comparison":
    """Print the comparison; returns it.

    Raises EvaluationError for folders that are no runs, or runs that cannot be compared.
    """
    if config.output is not None and config.output.is_dir():
        raise UsageError(f"--output {config.output} is a folder: expected the name of a file")
    from handover_client.comparison.run import compare_runs
    from handover_client.report.comparison import write_comparison
    from handover_client.report.terminal import print_comparison

    comparison, runs = compare_runs(config.run_a, config.run_b, config.anyway)
    print_comparison(comparison)
    if config.output is not None:
        write_comparison(config.output, comparison, (config.run_a, config.run_b), runs)
        print(f"page: {config.output}")
    return comparison
