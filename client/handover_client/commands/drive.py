"""The command `handover drive`: a robot in real time, guarded, by an operator, recorded."""

import contextlib
import os
import sys
from typing import Any

from handover_common import check_new, printable

from handover_client.connection.flags import read_security
from handover_client.drive.config import DriveConfig, check


def main(config: DriveConfig) -> dict[str, Any]:
    """Drive; returns the figures of metrics.json.

    Raises UsageError, ServerUnavailable, and HandoverError for a robot that fails; and
    KeyboardInterrupt where a signal ended the session, once all of it is written.
    """
    check(config)
    from handover_client.drive.run import drive
    from handover_client.report.page import write_report
    from handover_client.report.terminal import print_drive

    check_new(config.output)
    security = read_security(config.security, os.environ)
    if config.rerun is None:
        figures = drive(config, security, _show, write_report)
    else:
        from handover_client.report.rerun.live import LiveRecording

        with LiveRecording(config.rerun) as live:
            figures = drive(config, security, _show, write_report, live)
    print_drive(figures)
    if figures["episodes"] and not config.dry_run:
        print(f"dataset and report: {config.output}")
    if figures["interrupted"]:
        raise KeyboardInterrupt
    return figures


def _show(line: str) -> None:
    """Show the operator a line in place of the one before; a log gets those that end."""
    line = printable(line)  # a server's words are in it
    with contextlib.suppress(OSError):  # a terminal that was closed does not stop the robot's loop
        if sys.stderr.isatty():
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        elif line.endswith("\n"):
            print(line, end="", file=sys.stderr, flush=True)
