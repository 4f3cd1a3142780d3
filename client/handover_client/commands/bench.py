"""The command `handover bench`: load on a policy server, and the latency of its answers."""

import os
from typing import Any

from handover_common import HandoverError, make_folders_above, show, write_json

from handover_client.connection.flags import read_security
from handover_client.diagnostics.load_config import BenchConfig, check


def main(config: BenchConfig) -> dict[str, Any]:
    """Measure, print a table, write the JSON; returns its content.

    Raises HandoverError, and KeyboardInterrupt after a measurement that Ctrl-C ended.
    """
    check(config)
    from handover_client.diagnostics.load_figures import load_figures, load_table
    from handover_client.diagnostics.load_run import run_load

    if config.output is not None:
        make_folders_above(config.output)
    load = run_load(config, read_security(config.security, os.environ))
    figures = load_figures(config, load)
    show(load_table(figures))
    if config.output is not None:
        write_json(config.output, figures)
    if figures["latency_ms"]["p50"] is None:
        raise HandoverError("no request was answered with a chunk within the measured time")
    if figures["interrupted"]:
        raise KeyboardInterrupt
    return figures
