"""The command `handover drive`: a robot in real time, guarded, by an operator, recorded."""

import contextlib
import os
import sys
import textwrap
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
    security, screen = read_security(config.security, os.environ), _Screen()
    if config.rerun is None:
        figures = drive(config, security, screen.show, write_report)
    else:
        from handover_client.report.rerun.live import LiveRecording

        with LiveRecording(config.rerun) as live:
            figures = drive(config, security, screen.show, write_report, live)
    print_drive(figures)
    if figures["episodes"] and not config.dry_run:
        print(f"dataset and report: {config.output}")
    if figures["interrupted"]:
        raise KeyboardInterrupt
    return figures


class _Screen:
    """What the operator sees: the newest line in place of the one before, as high as it is."""

    def __init__(self) -> None:
        self._rows = 1

    def show(self, line: str) -> None:
        """Show a line, and keep one that ends; a log gets those alone."""
        ends, line = line.endswith("\n"), printable(line)  # a server's words are in it
        # a terminal that was closed does not stop the robot's loop
        with contextlib.suppress(OSError):
            if not sys.stderr.isatty():
                if ends:
                    print(line, end="", file=sys.stderr, flush=True)
                return
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            rows = textwrap.wrap(line, max(20, columns - 1)) or [""]
            up = f"\x1b[{self._rows - 1}A" if self._rows > 1 else ""
            end = "\n" if ends else ""
            print(f"{up}\r\x1b[J" + "\n".join(rows), end=end, file=sys.stderr, flush=True)
            self._rows = 1 if ends else len(rows)
