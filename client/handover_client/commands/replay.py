"""The command `handover replay`: open-loop evaluation of a served policy."""

import os
from typing import Any

from handover_common import check_new

from handover_client.connection.flags import read_security
from handover_client.replay.config import ReplayConfig, check


def main(config: ReplayConfig) -> dict[str, Any]:
    """Replay, print the tables, write the run's folder; returns the figures of metrics.json."""
    check(config)
    from handover_client.replay.figures import write_results
    from handover_client.replay.folder import ReplayFolder
    from handover_client.replay.run import open_replay
    from handover_client.report.page import write_report
    from handover_client.report.rerun.runs import write_replay_rrd
    from handover_client.report.rerun.stream import check_rerun
    from handover_client.report.terminal import print_replay
    from handover_client.report.views import write_views

    security = read_security(config.security, os.environ)
    if config.rerun is not None:
        check_rerun(config.rerun)
    check_new(config.output)
    with (
        open_replay(config, security) as replay,
        ReplayFolder(config.output, replay.plan()) as folder,
    ):
        evaluation, figures = replay.run(folder)
        write_results(folder.path, evaluation, figures)
        write_views(folder.path, replay, figures)
        write_report(folder.path, figures)
        folder.publish()
    print_replay(figures)
    print(f"report: {config.output / 'report.html'}")
    if config.rerun is not None:
        write_replay_rrd(config.rerun, evaluation, replay)
    return figures
