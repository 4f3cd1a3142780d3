"""The command `handover completion`: a script with which a shell completes commands and flags.

The script is made from the same dataclasses that the commands parse, so it knows every flag. When
Tab is pressed no command of ours starts: any python3 turns what was typed into what could follow.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

import tyro
from tyro.conf import Positional

from handover_client.commands.registry import COMMANDS


@dataclass(frozen=True)
class CompletionConfig:
    """Print the completion script of a shell.

    bash: put `eval "$(handover completion bash)"` into ~/.bashrc. zsh: write the script to a file
    named _handover in a folder of $fpath.
    """

    shell: Positional[Literal["bash", "zsh"]]
    """Shell that the script is for."""


def main(config: CompletionConfig) -> None:
    """Print the script for every command of this installation."""
    kinds = [
        Annotated[command.load_config(), tyro.conf.subcommand(name, description=command.summary)]
        for name, command in COMMANDS.items()
        if command.exists()
    ]
    whole: Any = Union[tuple(kinds)]  # noqa: UP007, a union of a list has no other spelling
    tyro.cli(whole, prog="handover", args=["--tyro-print-completion", config.shell])  # exits
