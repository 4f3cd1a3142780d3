"""Modality config files, read as data: literals and NVIDIA's constructors, nothing is executed.

Such a file is Python by custom, and comes with other people's datasets and checkpoints. All that it
needs to state is a table, so a table is all that is read: assignments of lists, dicts, strings and
numbers, `range`, and calls of `ModalityConfig`, `ActionConfig` and `register_modality_config`, of
which the keyword arguments are kept. Enum members (`ActionRepresentation.RELATIVE`) are read as
their names. Imports are skipped: gr00t need not be installed. JSON files are read too.
"""

import ast
import json
from pathlib import Path
from typing import Any

from handover_model import ModalityError
from handover_model.processing import ModalityConfig, parse_modality_config

PARTS = ("video", "state", "action", "language")
OWN_NAME = "MODALITY_CONFIG"  # the table to take where a file holds several
LONGEST_RANGE = 4096
RECORDS = ("ModalityConfig", "ActionConfig", "dict")


def read_modality_file(path: Path, tag: str) -> ModalityConfig:
    """Read the modality config of an embodiment tag; ModalityError names the line that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModalityError(f"{path} cannot be read: {error} (--modality-config-path)") from error
    if path.suffix == ".json":
        return parse_modality_config(_from_json(text, path, tag), str(path))
    return parse_modality_config(_from_python(text, path, tag), str(path))


def _from_json(text: str, path: Path, tag: str) -> dict[str, Any]:
    """Take a bare table, or the tag's from a processor_config.json."""
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ModalityError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ModalityError(f"{path}: expected a JSON object, got a {type(values).__name__}")
    configs = values.get("processor_kwargs", values).get("modality_configs")
    if configs is None:
        return values
    if tag not in configs:
        raise ModalityError(
            f"{path} has no modality config of {tag!r}; it has {', '.join(configs)}"
        )
    return configs[tag]


def _from_python(text: str, path: Path, tag: str) -> dict[str, Any]:
    try:
        tree = ast.parse(text, str(path))
    except (SyntaxError, ValueError) as error:
        raise ModalityError(f"{path} is not Python: {error}") from error
    reader = _Reader(path)
    for statement in tree.body:
        reader.read(statement)
    return reader.choose(tag)


class _Reader:
    """Interpreter of a file's statements that keeps the values of its names."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names: dict[str, Any] = {}
        self._registered: dict[str, Any] = {}

    def read(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            return
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            return  # a docstring
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            self._register(statement.value)
            return
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, content = [statement.target], statement.value
        elif isinstance(statement, ast.Assign):
            targets, content = statement.targets, statement.value
        else:
            raise self._error(statement, "expected NAME = value")
        value = self._value(content)
        for target in targets:
            if not isinstance(target, ast.Name):
                raise self._error(target, "expected a plain name before the equals sign")
            self._names[target.id] = value

    def choose(self, tag: str) -> dict[str, Any]:
        """Return the table registered for a tag, else the file's only one."""
        if self._registered:
            if tag not in self._registered:
                there = ", ".join(self._registered)
                raise ModalityError(
                    f"{self._path} registers a modality config for {there}, "
                    f"but --embodiment-tag is {tag!r}"
                )
            return self._registered[tag]
        tables = {name: value for name, value in self._names.items() if _is_table(value)}
        if OWN_NAME in tables:
            return tables[OWN_NAME]
        if len(tables) != 1:
            raise ModalityError(
                f"{self._path} holds {len(tables)} tables with {', '.join(PARTS)}; expected one, "
                f"or one named {OWN_NAME}"
            )
        return next(iter(tables.values()))

    def _register(self, call: ast.Call) -> None:
        if self._called(call) != "register_modality_config" or not call.args:
            raise self._error(call, "expected register_modality_config(CONFIG, embodiment_tag=…)")
        keywords = {word.arg: self._value(word.value) for word in call.keywords}
        tag = keywords.get("embodiment_tag", "new_embodiment")
        if len(call.args) > 1:
            tag = self._value(call.args[1])
        self._registered[str(tag).lower()] = self._value(call.args[0])

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.List | ast.Tuple):
            return [self._value(element) for element in node.elts]
        if isinstance(node, ast.Dict):
            keys = [self._value(key) for key in node.keys if key is not None]
            if len(keys) == len(node.values) and all(isinstance(key, str) for key in keys):
                return dict(zip(keys, map(self._value, node.values), strict=True))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            value = self._value(node.operand)
            if isinstance(value, int | float):
                return -value
        if isinstance(node, ast.Attribute):
            return node.attr  # an enum's member
        if isinstance(node, ast.Name) and node.id in self._names:
            return self._names[node.id]
        if isinstance(node, ast.Call):
            return self._call(node)
        raise self._error(node, "expected a literal or a name given above")

    def _call(self, node: ast.Call) -> Any:
        name = self._called(node)
        arguments = [self._value(argument) for argument in node.args]
        if name in RECORDS and not arguments:
            return {word.arg: self._value(word.value) for word in node.keywords if word.arg}
        if name == "list" and len(arguments) == 1 and isinstance(arguments[0], list):
            return arguments[0]
        if name == "range" and arguments and all(type(one) is int for one in arguments):
            numbers = range(*arguments[:3])
            if len(numbers) <= LONGEST_RANGE:
                return list(numbers)
        known = "range, list, ModalityConfig and ActionConfig (keyword arguments)"
        raise self._error(node, f"only {known} are read")

    def _called(self, node: ast.Call) -> str:
        function = node.func
        if isinstance(function, ast.Attribute):
            return function.attr
        return function.id if isinstance(function, ast.Name) else ""

    def _error(self, node: ast.AST, expected: str) -> ModalityError:
        line = getattr(node, "lineno", 0)
        return ModalityError(
            f"{self._path}, line {line}: {expected}, got {ast.unparse(node)[:80]!r}; "
            "a modality config is read as data and never run"
        )


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and set(PARTS) <= set(value)
