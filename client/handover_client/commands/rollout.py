"""The command `handover rollout`: closed-loop evaluation of a policy in MuJoCo."""

import os
from typing import Any

from handover_common import check_new, write_json

from handover_client.connection.flags import read_security
from handover_client.rollout.config import RolloutConfig, check


def main(config: RolloutConfig) -> dict[str, Any]:
    """Play the episodes, write the run's folder, print the figures; returns those of metrics.json.

    Raises UsageError for flags that make no sense, ServerUnavailable when no server is ready in
    time, and EvaluationError for one that does not fit or goes away for good.
    """
    check(config)
    from handover_client.report.page import write_report
    from handover_client.report.rerun.runs import write_rollout_rrd
    from handover_client.report.rerun.stream import check_rerun
    from handover_client.report.terminal import print_rollout
    from handover_client.rollout.folder import RolloutFolder
    from handover_client.rollout.simulation import open_simulators, prepare_rollout

    if config.suite:
        return _play_suite(config)
    check_new(config.output)
    if config.rerun is not None:
        check_rerun(config.rerun)
    rollout = prepare_rollout(config, read_security(config.security, os.environ))
    with (
        open_simulators(config) as play_all,
        RolloutFolder(config.output, rollout.plan()) as folder,
    ):
        figures = rollout.run(folder, play_all)
        write_json(folder.path / "metrics.json", figures)
        write_report(folder.path, figures)
        folder.publish()
    if config.rerun is not None:
        rate_hz = figures["control_rate_hz"]
        write_rollout_rrd(config.rerun, config.output, folder.records(), rate_hz)
    print_rollout(figures)
    print(f"report: {config.output / 'report.html'}")
    return figures


def _play_suite(config: RolloutConfig) -> dict[str, Any]:
    from handover_client.report.page import write_report
    from handover_client.report.terminal import latency_lines, robustness_lines
    from handover_client.suites.latency import LatencySuite
    from handover_client.suites.robustness import RobustnessSuite
    from handover_client.suites.suite import Suite, play_suite

    suite: Suite
    if config.suite == "latency":
        suite, lines = LatencySuite(config.latencies_ms, config.switchings), latency_lines
    else:
        suite, lines = RobustnessSuite(config.axes, config.settings.videos), robustness_lines
    security = read_security(config.security, os.environ)
    figures = play_suite(suite, config, security, write_report)
    print(*lines(figures), sep="\n")
    print(f"report: {config.output / 'report.html'}")
    return figures
