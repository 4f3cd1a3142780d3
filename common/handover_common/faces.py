"""Lazy public faces of packages: `from handover_model import load_policy` imports what it names.

A package's `__init__` lists its public names once, as imports that only type checkers run:

    if TYPE_CHECKING:
        from handover_model import GrootPolicy, load_policy
    __getattr__, __dir__ = lazy(__name__, __file__)

so that importing the package costs nothing, and a name loads its own module alone.
"""

import ast
import importlib
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any


def lazy(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` (PEP 562) of a package whose `__init__` is at `file`."""

    @cache
    def sources() -> dict[str, tuple[str, str]]:
        return read_face(Path(file).read_text(encoding="utf-8"))

    def get(name: str) -> Any:
        if name.startswith("__") or name not in sources():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, original = sources()[name]
        value = getattr(importlib.import_module(module), original)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted(sources())


def read_face(source: str) -> dict[str, tuple[str, str]]:
    """The names that an `__init__` offers under TYPE_CHECKING: {name: (module, name there)}."""
    return {
        alias.asname or alias.name: (statement.module or "", alias.name)
        for block in ast.parse(source).body
        if isinstance(block, ast.If)
        and isinstance(block.test, ast.Name)
        and block.test.id == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
