"""Making of a robot by the installed LeRobot; the only module of the client that imports it."""

import importlib
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from handover_common import HandoverError, MissingExtra, UsageError

_TORQUE = "disable_torque_on_disconnect"


def load_robot(robot: str | Mapping[str, Any]) -> Any:
    """Make the LeRobot robot of a config file (YAML or JSON) or object; connects to nothing.

    Raises MissingExtra without LeRobot, and UsageError for a config that it refuses.
    """
    if sys.version_info < (3, 12):
        raise UsageError(
            f"LeRobot needs Python 3.12 or newer, this is {sys.version_info[0]}."
            f"{sys.version_info[1]}: install handover-robotics[lerobot] there"
        )
    if importlib.util.find_spec("lerobot") is None:
        raise MissingExtra("lerobot", "lerobot")
    import draccus
    from lerobot.robots import RobotConfig, make_robot_from_config
    from lerobot.utils.import_utils import register_third_party_plugins

    missing = dict(_register("lerobot.robots")) | dict(_register("lerobot.cameras"))
    register_third_party_plugins()
    given = _read(robot)
    kind = given.get("type")
    if kind not in RobotConfig.get_known_choices():
        without = "".join(f"; {name} lacks: {error}" for name, error in missing.items())
        raise UsageError(
            f"LeRobot has no robot of type {kind!r}: expected one of "
            f"{', '.join(sorted(RobotConfig.get_known_choices()))}{without}"
        )
    try:
        config = draccus.decode(RobotConfig, given)
        _check_torque(config, given)
        return make_robot_from_config(config)
    except HandoverError:
        raise
    except Exception as error:  # of LeRobot, or of a plugin: whatever it is, it names the config
        raise UsageError(f"LeRobot cannot make a {kind}: {_line(error)}") from error


def motor_units(robot: Any, prefix: str = "") -> dict[str, str]:
    """Read what the motors of a LeRobot robot say of their units: {joint: unit}.

    A robot of two arms has its buses in left_arm and right_arm.
    """
    motors = getattr(getattr(robot, "bus", None), "motors", None) or {}
    found = {
        f"{prefix}{name}": getattr(motor.norm_mode, "value", str(motor.norm_mode))
        for name, motor in motors.items()
    }
    for side in ("left", "right"):
        arm = getattr(robot, f"{side}_arm", None)
        found |= motor_units(arm, f"{side}_") if arm is not None else {}
    return found


def _register(package: str) -> Iterator[tuple[str, str]]:
    """Import the modules of a package, so that their types are known; yields what fails."""
    place = importlib.import_module(package)
    for module in pkgutil.iter_modules(place.__path__):
        if module.ispkg:
            try:
                importlib.import_module(f"{package}.{module.name}")
            except ImportError as error:  # its own extra is not installed
                yield module.name, _line(error)


def _read(robot: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(robot, Mapping):
        return dict(robot)
    import yaml

    try:
        given = yaml.safe_load(Path(robot).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"LeRobot's config {robot} cannot be read: {_line(error)}") from None
    if not isinstance(given, dict):
        raise UsageError(f"LeRobot's config {robot}: expected a mapping with the robot's type")
    return given


def _check_torque(config: Any, given: Mapping[str, Any]) -> None:
    """An arm whose torque goes off at the end falls: LeRobot's default has to be said."""
    if _is_on(config) and not _says(given):
        raise UsageError(
            f"LeRobot's config does not say {_TORQUE}: false, and the arms hold after the session "
            "as handover drive promises; true, and they fall"
        )


def _is_on(config: Any) -> bool:
    if getattr(config, _TORQUE, False):
        return True
    inner = (getattr(config, each.name) for each in fields(config)) if is_dataclass(config) else ()
    return any(is_dataclass(each) and _is_on(each) for each in inner)


def _says(given: Any) -> bool:
    values = given.values() if isinstance(given, Mapping) else ()
    return (isinstance(given, Mapping) and _TORQUE in given) or any(map(_says, values))


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
