"""Choice of a robot's description: a built-in one, a file, or what the recording says itself."""

import json
from pathlib import Path
from typing import Any

from handover_common import MissingExtra

from handover_conversion.errors import DatasetError
from handover_conversion.recordings import SourceInfo
from handover_conversion.robot.built_in import built_in
from handover_conversion.robot.columns import DescriptionError, Recorded
from handover_conversion.robot.description import Robot
from handover_conversion.robot.former import parse_former
from handover_conversion.robot.from_metadata import from_modality, identity
from handover_conversion.robot.parse import parse_robot

BUILT_IN = ("aloha", "aloha_mobile", "so101", "identity")
_MOST_BYTES = 1 << 20


def choose_robot(name: str | None, source: SourceInfo, recorded: Recorded) -> Robot:
    """Return the description `name` for a source; by default its modality.json's, or ALOHA's.

    name: one of BUILT_IN, or a JSON or YAML file. Raises DatasetError if it does not fit.
    """
    if name is None and source.modality is not None:
        return from_modality(source.modality, recorded)
    name = name or "aloha"
    if name == "identity":
        return identity(recorded)
    described = built_in(name, recorded.features)
    if described is not None:
        try:
            return parse_robot(described, recorded, name)
        except DescriptionError as error:
            raise DescriptionError(str(error).removeprefix(f"{name}: ")) from None
    if not Path(name).is_file():
        raise DatasetError(
            f"no embodiment {name!r}: expected {', '.join(BUILT_IN)}, or a JSON or YAML file "
            "(--robot)"
        )
    described = read_description(Path(name))
    if "groups" in described:
        return parse_former(described, recorded, name)
    return parse_robot(described, recorded, name)


def says_nothing_of_time(name: str | None, source: SourceInfo) -> bool:
    """Whether a description is the recording's own, which leaves each value's way open."""
    return name == "identity" or (name is None and source.modality is not None)


def read_description(path: Path) -> dict[str, Any]:
    """Read a JSON or YAML object. Raises DatasetError."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DescriptionError(f"{path} is larger than a description, {_MOST_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
        content = _parse_yaml(text) if path.suffix in (".yaml", ".yml") else json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise DescriptionError(f"{path} is not an embodiment map: {error!r}") from None
    if not isinstance(content, dict):
        raise DescriptionError(f"{path}: expected an object, got {type(content).__name__}")
    return content


def _parse_yaml(text: str) -> Any:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingExtra("pyyaml", "convert") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
