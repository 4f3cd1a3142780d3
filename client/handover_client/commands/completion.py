"""The command `handover completion`: a script with which a shell completes commands and flags.

The script is made from the same dataclasses that the commands parse, so it knows every flag. When
Tab is pressed no command of ours starts: any python3 turns what was typed into what could follow.
"""

import importlib
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

import tyro
from tyro.conf import Positional

if TYPE_CHECKING:
    from handover_client.commands.main import Command


@dataclass(frozen=True)
class CompletionConfig:
    """Print the completion script of a shell.

    bash: put `eval "$(handover completion bash)"` into ~/.bashrc. zsh: write the script to a file
    named _handover in a folder of $fpath.
    """

    shell: Positional[Literal["bash", "zsh"]]
    """Which shell it is for."""


def main(config: CompletionConfig) -> None:
    """Print the script for every command of this installation."""
    from handover_client.commands.main import COMMANDS

    known = {name: command for name, command in COMMANDS.items() if command.exists()}
    kinds = [
        Annotated[config_class(command), tyro.conf.subcommand(name, description=command.summary)]
        for name, command in known.items()
    ]
    whole: Any = Union[tuple(kinds)]  # noqa: UP007, a union of a list has no other spelling
    tyro.cli(whole, prog="handover", args=["--tyro-print-completion", config.shell])  # exits


def config_class(command: "Command") -> type[Any]:
    """Find the dataclass that a command takes: the type of its `main(config)`."""
    module = importlib.import_module(command.module)
    annotation = inspect.signature(module.main).parameters["config"].annotation
    return getattr(module, annotation) if isinstance(annotation, str) else annotation


def cli() -> None:
    """Parse the command line and print."""
    main(tyro.cli(CompletionConfig))
