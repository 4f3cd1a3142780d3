"""Dispatcher of `handover COMMAND …`: finds a command's module, and turns errors into one line.

Nothing heavy is imported before a command is chosen: help for all of them costs a few milliseconds.
"""

import os
import signal
import sys
from types import FrameType

from handover_common import HandoverError, MissingExtra, UsageError, exit_status, parse_and_run

from handover_client.commands.registry import COMMANDS, Command

_NO_READER = 141  # 128 + SIGPIPE


def main() -> None:
    """Run `handover` with the arguments of this process, and exit with its status."""
    interrupts: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # as `head` and the like expect it; what is still buffered has no reader either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = _NO_READER
    except Exception:
        if not interrupts:
            raise
        status = exit_status(_interrupted)  # an import turned it into another error
    # CPython would end itself by SIGINT instead of with our status where the interrupt came in an
    # exec(), of which dataclasses are made; the next exec() clears that (CPython, pythonrun.c,
    # run_eval_code_obj)
    exec("")
    sys.exit(status)


def _interrupted() -> None:
    raise KeyboardInterrupt


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit status: 0 done, 1 failed, 2 usage, 130 Ctrl-C.

    `sys.argv` becomes the command's own, because the commands parse it.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0
    if arguments[0] == "--version":
        print(f"handover {_version()}")
        return 0
    name, *rest = arguments

    def chosen() -> None:
        command = _find(name)
        sys.argv = [f"handover {name}", *rest]
        _call(command)

    return exit_status(chosen)


def overview() -> str:
    """List the commands that this installation has."""
    known = {name: command for name, command in COMMANDS.items() if command.exists()}
    width = max(map(len, known)) + 2
    lines = [f"  {name:<{width}}{command.summary}" for name, command in known.items()]
    return "\n".join(
        [
            "usage: handover COMMAND …",
            "",
            "Finetune, serve and evaluate GR00T N1.6 policies for the ALOHA robot.",
            "",
            *lines,
            "",
            "handover COMMAND --help   flags of a command",
            "handover --version        version of this installation",
        ]
    )


def _find(name: str) -> Command:
    known = [known for known, command in COMMANDS.items() if command.exists()]
    if name not in known:
        raise UsageError(
            f"unknown command {name!r}: expected one of {', '.join(known)}{_nearest(name, known)}"
        )
    return COMMANDS[name]


def _nearest(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _call(command: Command) -> None:
    try:
        parse_and_run(command.load_config(), command.load())
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or package.startswith("handover_"):
            raise  # a fault of ours, not of the installation
        if not command.extra:
            raise HandoverError(
                f"the package {package!r} is not installed; in Handover's folder run: pip install ."
            ) from error
        raise MissingExtra(package, command.extra) from error


def _version() -> str:
    from handover_common import NOT_INSTALLED, package_version

    return package_version("handover") or f"from source, {NOT_INSTALLED}"
