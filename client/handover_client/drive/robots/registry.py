"""Registry of robots: the built-in ones, entry points of `handover.robots`, or module:Class."""

import importlib
import json
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from handover_common import HandoverError, MissingExtra, UsageError

from handover_client.drive.robots.interface import Robot

GROUP = "handover.robots"
_METHODS = ("connect", "observe", "command", "hold", "release", "describe")
_BUILT_IN = {
    "lerobot": "handover_client.drive.robots.lerobot:LeRobotRobot",
    "sim": "handover_client.drive.robots.sim:SimRobot",
    "trossen": "handover_client.drive.robots.trossen:TrossenRobot",
}


def robot_names() -> list[str]:
    """List the robots that have a name here."""
    return sorted({*_BUILT_IN, *(each.name for each in entry_points(group=GROUP))})


def make_robot(name: str, settings: Mapping[str, Any]) -> Robot:
    """Make a robot from its settings; connects to nothing. Raises UsageError, MissingExtra."""
    robot = _find(name)
    missing = [method for method in _METHODS if not callable(getattr(robot, method, None))]
    if missing:
        word = getattr(robot, "__name__", robot)
        raise UsageError(f"--robot {name}: {word} has no method {', '.join(missing)}")
    try:
        return robot(**settings)
    except TypeError as error:
        raise UsageError(f"--robot-config does not fit the robot {name}: {error}") from None


def read_settings(path: Path | None) -> dict[str, Any]:
    """Read --robot-config, an object of JSON, or of YAML (*.yaml, *.yml). Raises UsageError."""
    if path is None:
        return {}
    is_yaml = path.suffix.lower() in (".yaml", ".yml")
    form = "YAML" if is_yaml else "JSON"
    try:
        text = path.read_text(encoding="utf-8")
        settings = _read_yaml(text) if is_yaml else json.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"--robot-config {path} is no {form} that can be read: {error}") from None
    if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
        raise UsageError(f"--robot-config {path}: expected {form} with an object of settings")
    return settings


def _read_yaml(text: str) -> Any:
    """Read YAML without tags that make objects. Raises ValueError; for a key given twice too."""
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingExtra("pyyaml", "trossen") from error

    class Loader(yaml.SafeLoader):
        """Refuses what SafeLoader takes in silence: the last of two equal keys."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key) for key, _ in node.value]  # pyright: ignore
            twice = [key for key in keys if keys.count(key) > 1]
            if twice:
                raise ValueError(f"the key {twice[0]!r} is there twice")
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


def _find(name: str) -> Any:
    place = name if ":" in name else _BUILT_IN.get(name)
    if place is None:
        for entry in entry_points(group=GROUP):
            if entry.name == name:
                return _load(name, entry.value, entry.load)
        raise UsageError(
            f"--robot {name}: expected one of {', '.join(robot_names())}, or module:Class"
        )
    module, _, attribute = place.partition(":")
    return _load(name, place, lambda: getattr(importlib.import_module(module), attribute))


def _load(name: str, place: str, load: Callable[[], Any]) -> Any:
    """Import a robot's class. Raises HandoverError, whatever its package does meanwhile."""
    try:
        return load()
    except HandoverError:  # it says itself what is missing
        raise
    except (ImportError, AttributeError) as error:
        raise HandoverError(f"--robot {name}: {place} cannot be imported: {error}") from error
    except Exception as error:
        raise HandoverError(f"--robot {name}: {place} cannot be imported: {error!r}") from error
