"""Ends what `python -m` starts as the handover command would: one line, and an exit status."""

import sys
from collections.abc import Callable

from handover_proto.errors import HandoverError, UsageError

INTERRUPTED = 130  # a shell's status for Ctrl-C


def exit_status(cli: Callable[[], object]) -> int:
    """Run a command; what its user can act on is printed as one line."""
    try:
        cli()
    except HandoverError as error:
        print(f"handover: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("\nhandover: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0
