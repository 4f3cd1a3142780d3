"""Configuration of `handover view`."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Optional, Union

import tyro
from handover_common import UsageError

# ruff: noqa: UP007, UP045, RUF036, as tyro reads types: see handover_common.command
_Dataset = tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DIR")]]
_PageFile = Annotated[Path, tyro.conf.arg(metavar="PAGE.html")]
_RerunFile = Annotated[Optional[Path], tyro.conf.arg(metavar="FILE.rrd")]
_Episodes = Annotated[Union[None, tuple[str, ...]], tyro.conf.arg(metavar="N|N-M …")]

MOST_NAMED = 10_000  # episodes of --episodes; a page has room for some dozens
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")


@dataclass(frozen=True)
class ViewConfig:
    """Write one page to look at a dataset: videos, joints against actions, and what is wrong."""

    dataset: _Dataset
    """Folder of a LeRobot dataset (2.0, 2.1, 3.0) or of a GR00T dataset."""
    output: _PageFile
    """HTML file to write, self-contained; an existing one is replaced."""
    episodes: _Episodes = None
    """Episodes to show, such as 0 2 5-9; by default up to eight, evenly spread."""
    check: bool = True
    """Also check the whole dataset, and show what the check finds."""
    rerun: _RerunFile = None
    """Also write the episodes shown as a recording for the viewer of rerun.io: extra viz."""


def check(config: ViewConfig) -> None:
    """Refuse settings that make no sense. Raises UsageError."""
    if config.output.is_dir():
        raise UsageError(f"--output {config.output} is a folder: expected the name of a file")
    named_episodes(config.episodes or ())


def named_episodes(words: tuple[str, ...]) -> tuple[int, ...]:
    """Read the numbers of --episodes, in their order, each once: ("5-7", "0") -> (5, 6, 7, 0).

    Raises UsageError for anything else.
    """
    numbers: dict[int, None] = {}
    for word in words:
        found = _RANGE.fullmatch(word)
        first = int(found.group(1)) if found else 0
        last = int(found.group(2) or first) if found else -1
        if last < first:
            raise UsageError(f"--episodes {word!r}: expected a number, or a range such as 5-9")
        if last - first + len(numbers) >= MOST_NAMED:
            raise UsageError(f"--episodes names more than {MOST_NAMED} episodes: show fewer")
        numbers |= dict.fromkeys(range(first, last + 1))
    return tuple(numbers)
