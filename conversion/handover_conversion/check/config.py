"""Configuration of `handover check`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

_Folder = tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DIR")]]


@dataclass(frozen=True)
class CheckConfig:
    """Check a LeRobot or GR00T dataset: faults, which would fail or train wrongly, and notes."""

    path: _Folder
    """Folder of the dataset."""
    write_statistics: bool = False
    """Also compute the statistics of its rows and write them to its meta/stats.json."""
