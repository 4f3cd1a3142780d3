"""Lazy public faces of packages: `from handover_model import load_policy` imports what it names.

A package's `__init__` lists its public names once, as imports that only type checkers run:

    if TYPE_CHECKING:
        from handover_model.policy import GrootPolicy, load_policy
    __getattr__, __dir__ = lazy(__name__, __file__)

so that importing the package costs nothing, and a name loads its own module alone. Every command's
start goes through here, so this imports only what `typing` has loaded already.
"""

import importlib
import re
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

_BLOCK = re.compile(r"^if TYPE_CHECKING:\n((?:    .*\n|\n)+)", re.MULTILINE)
_IMPORT = re.compile(r"^    from (\S+) import (\([^)]*\)|.*)$", re.MULTILINE)


def lazy(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` (PEP 562) of a package whose `__init__` is at `file`."""

    @cache
    def sources() -> dict[str, str]:
        with open(file, encoding="utf-8") as source:
            return read_face(source.read())

    def get(name: str) -> Any:
        if name.startswith("__") or name not in sources():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(sources()[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted(sources())


def read_face(source: str) -> dict[str, str]:
    """The names that an `__init__` offers under TYPE_CHECKING: {name: its module}."""
    return {
        name: module
        for block in _BLOCK.findall(source)
        for module, names in _IMPORT.findall(block)
        for name in re.findall(r"\w+", names)
    }
