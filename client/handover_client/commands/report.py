"""The command `handover report`: one page about one or several evaluation runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Union

import tyro
from handover_common import UsageError
from tyro.conf import Positional

# typing.Union with None: tyro checks every other type of several values with typeguard, which would
# take a third of the time of --help
_Runs = Positional[
    Annotated[
        Union[None, tuple[Path, ...]],  # noqa: UP007, RUF036
        tyro.conf.arg(metavar="RUN [RUN …]"),
    ]
]


@dataclass(frozen=True)
class ReportConfig:
    """Write one page about several evaluation runs, open loop and closed loop, in their order."""

    output: Annotated[Path, tyro.conf.arg(metavar="PAGE.html")]
    """The page to write: one file with everything in it; one that exists is replaced."""
    runs: _Runs = None
    """Folders of the runs, one or more."""


def main(config: ReportConfig) -> None:
    """Write the page; raises EvaluationError for folders that are no runs, UsageError for none."""
    from handover_client.comparison.comparison import read_run
    from handover_client.report.page import render_runs
    from handover_client.report.run import run_section
    from handover_client.results.run_folder import write_file

    if not config.runs:
        raise UsageError("no RUN given: expected folders of handover replay or handover rollout")
    if config.output.is_dir():
        raise UsageError(f"--output {config.output} is a folder: expected the name of a file")
    page = render_runs([run_section(folder, read_run(folder)) for folder in config.runs])
    write_file(config.output, page)
    print(f"page: {config.output}")


def cli() -> None:
    """Parse the command line and run."""
    main(tyro.cli(ReportConfig))


if __name__ == "__main__":
    cli()
