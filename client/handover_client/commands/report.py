"""The command `handover report`: one page about one or several evaluation runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Union

import tyro
from handover_common import UsageError, write_text

# ruff: noqa: UP007, RUF036, Union with None first for tyro's sake: see handover_common.command
_Runs = tyro.conf.Positional[
    Annotated[Union[None, tuple[Path, ...]], tyro.conf.arg(metavar="RUN [RUN …]")]
]


@dataclass(frozen=True)
class ReportConfig:
    """Write one page about several evaluation runs, open loop and closed loop, in their order."""

    output: Annotated[Path, tyro.conf.arg(metavar="PAGE.html")]
    """HTML file to write, self-contained; an existing one is replaced."""
    runs: _Runs = None
    """Folders of the runs, one or more."""
    table: bool = False
    """A leaderboard instead: a row for each run, with intervals, tests of the pairs, and costs."""


def main(config: ReportConfig) -> None:
    """Write the page; raises EvaluationError for folders that are no runs, UsageError for none."""
    if not config.runs:
        raise UsageError("no RUN given: expected folders of handover replay or handover rollout")
    if config.output.is_dir():
        raise UsageError(f"--output {config.output} is a folder: expected the name of a file")
    from handover_client.comparison.leaderboard import leaderboards
    from handover_client.report.page import render_leaderboards, render_runs, run_section
    from handover_client.results.run_folder import read_run

    runs = [(folder, read_run(folder)) for folder in config.runs]
    if config.table:
        page = render_leaderboards(leaderboards(runs))
    else:
        page = render_runs([run_section(*run) for run in runs])
    write_text(config.output, page)
    print(f"page: {config.output}")
