"""The command line `handover COMMAND …`: finds a command's module, and turns errors into one line.

Nothing heavy is imported before a command is chosen: help for all of them costs a few milliseconds.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from handover_common import HandoverError, MissingExtra, UsageError, exit_status

from handover_client.commands.interrupts import keep_interrupts

_NO_READER = 141  # 128 + SIGPIPE


@dataclass(frozen=True)
class Command:
    """One command: where its function is, which extra brings its packages, what it does."""

    target: str  # "module:function"; the function parses sys.argv and does the work
    extra: str  # empty where the base installation is enough
    summary: str

    @property
    def module(self) -> str:
        """The module that holds the function."""
        return self.target.partition(":")[0]

    def exists(self) -> bool:
        """Tell whether this installation has the command's module."""
        try:
            return importlib.util.find_spec(self.module) is not None
        except ModuleNotFoundError:  # its package is not installed at all
            return False

    def load(self) -> Callable[[], None]:
        """Import the command's function."""
        module, _, function = self.target.partition(":")
        return getattr(importlib.import_module(module), function)


COMMANDS = {
    "record": Command(
        "handover_envs.record.command:cli",
        "sim",
        "scripted demonstrations in MuJoCo, as a LeRobot dataset",
    ),
    "convert": Command(
        "handover_conversion.pipeline.command:cli",
        "convert",
        "LeRobot recordings to a GR00T dataset",
    ),
    "finetune": Command(
        "handover_training.finetuning.command:cli",
        "train",
        "GR00T dataset to a finetuned checkpoint",
    ),
    "calibrate": Command(
        "handover_training.calibrate.command:cli",
        "train",
        "FP8 scales of a checkpoint, from a dataset",
    ),
    "serve": Command(
        "handover_server.serve.command:cli", "serve", "a checkpoint as a gRPC policy server"
    ),
    "info": Command(
        "handover_client.commands.info:cli", "", "what a server serves, and how far away it is"
    ),
    "replay": Command(
        "handover_client.commands.replay:cli",
        "replay",
        "open-loop evaluation: a server's chunks beside recorded actions",
    ),
    "rollout": Command(
        "handover_client.commands.rollout:cli",
        "sim",
        "closed-loop evaluation: a server's chunks played in MuJoCo",
    ),
    "replay-requests": Command(
        "handover_client.commands.replay_requests:cli",
        "",
        "a server's recorded requests once more: are the answers bit-identical",
    ),
    "bench": Command(
        "handover_client.commands.bench:cli",
        "",
        "load on a server: latency percentiles, throughput, refusals",
    ),
    "compare": Command(
        "handover_client.commands.compare:cli", "replay", "two evaluation runs side by side"
    ),
    "report": Command(
        "handover_client.commands.report:cli", "replay", "one page about several evaluation runs"
    ),
    "completion": Command(
        "handover_client.commands.completion:cli", "", "completion script of bash or zsh"
    ),
}


def main() -> None:
    """Run `handover` with the arguments of this process, and exit with its status."""
    keep_interrupts()
    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        status = _without_reader()
    sys.exit(status)


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


def _without_reader() -> int:
    """End as `head` and the like expect it: nobody reads on, so nothing more is said."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered
    return _NO_READER


def overview() -> str:
    """List the commands that this installation has."""
    known = {name: command for name, command in COMMANDS.items() if command.exists()}
    width = max(map(len, known)) + 2
    lines = [f"  {name:<{width}}{command.summary}" for name, command in known.items()]
    return "\n".join(
        [
            "usage: handover COMMAND …",
            "",
            "Finetune, serve and judge GR00T N1.6 policies for the ALOHA robot.",
            "",
            *lines,
            "",
            "handover COMMAND --help   what a command takes",
            "handover --version        the version of this installation",
        ]
    )


def _find(name: str) -> Command:
    command = COMMANDS.get(name)
    if command is None or not command.exists():
        known = [known for known, command in COMMANDS.items() if command.exists()]
        raise UsageError(
            f"unknown command {name!r}: expected one of {', '.join(known)}{_nearest(name, known)}"
        )
    return command


def _nearest(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _call(command: Command) -> None:
    try:
        command.load()()
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


if __name__ == "__main__":
    main()
