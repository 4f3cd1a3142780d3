"""Commands: parsed into a frozen dataclass, run, and ended with one line and an exit status.

A command is three pieces: a config (the dataclass, and `check(config)`), the work, and
`main(config)`, which tests call and which `parse_and_run` calls with what it parsed.

Configs write `Optional[int]`, not `int | None`: tyro checks a default of the latter by importing
typeguard, which takes a third of the time of --help. (Their files say `# ruff: noqa: UP045`.)
"""

import math
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from handover_common.errors import HandoverError, UsageError
from handover_common.terminal import show

_INTERRUPTED = 130  # 128 + SIGINT, as shells count

Config = TypeVar("Config")


def run_command(config: type[Config], main: Callable[[Config], object], prog: str) -> int:
    """Run a command with this process's arguments; returns its exit status.

    prog: the command's name in its help.
    """
    return exit_status(lambda: parse_and_run(config, main, prog))


def parse_and_run(
    config: type[Config], main: Callable[[Config], object], prog: str | None = None
) -> None:
    """Run a command with this process's arguments. Raises HandoverError."""
    import tyro

    _refuse_repeated(sys.argv[1:])
    main(tyro.cli(config, prog=prog))


def _refuse_repeated(arguments: Sequence[str]) -> None:
    """Raise UsageError for a flag that stands twice: the parser would forget the first."""
    flags = [one.partition("=")[0].replace("_", "-") for one in arguments if one.startswith("--")]
    for flag in flags:
        if flags.count(flag) > 1 and flag != "--":
            raise UsageError(f"{flag} is given twice: expected it once, with all its values")


def exit_status(command: Callable[[], object]) -> int:
    """Run a command; returns 0 done, 1 failed, 2 usage, 130 Ctrl-C."""
    try:
        command()
    except HandoverError as error:
        show("handover: " + "\n".join(error.lines()), sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("\nhandover: interrupted", file=sys.stderr)
        return _INTERRUPTED
    return 0


def check_range(config: object, *names: str, least: float, most: float = math.inf) -> None:
    """Raise UsageError for the first of a config's numbers out of range; None is in any range."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not least <= value <= most:  # nan is in none
            more = "or more" if most == math.inf else f"to {_text(most)}"
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} is {_text(value)}, expected {_text(least)} {more}")


def _text(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"
