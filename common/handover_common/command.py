"""How every command ends: what its user can act on in one line, and an exit status."""

import sys
from collections.abc import Callable

from handover_common.errors import HandoverError, UsageError

_INTERRUPTED = 130  # 128 + SIGINT, as shells count


def exit_status(cli: Callable[[], object]) -> int:
    """Run a command; returns 0 done, 1 failed, 2 usage, 130 Ctrl-C."""
    try:
        cli()
    except HandoverError as error:
        print("handover:", "\n".join(error.lines()), file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("\nhandover: interrupted", file=sys.stderr)
        return _INTERRUPTED
    return 0
