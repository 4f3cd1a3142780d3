"""Modality configuration of an embodiment: its observations and actions in processor_config.json.

The order of the keys matters to the model: values are concatenated in that order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from handover_model.errors import ModalityError


class ActionRep(Enum):
    """Representation of an action's numbers."""

    ABSOLUTE = "ABSOLUTE"
    RELATIVE = "RELATIVE"
    DELTA = "DELTA"


@dataclass(frozen=True)
class ActionConfig:
    """Representation of one action key."""

    rep: ActionRep = ActionRep.ABSOLUTE
    kind: str = "NON_EEF"
    """NON_EEF for joints and grippers, EEF for poses of an end effector"""
    format: str = "DEFAULT"
    state_key: str | None = None
    """The state that a relative action is relative to; None for the state of the same key"""


@dataclass(frozen=True)
class Modality:
    """One kind of data: its keys in order, and the time steps of each that are used."""

    keys: tuple[str, ...]
    delta_indices: tuple[int, ...] = (0,)
    sin_cos_keys: tuple[str, ...] | None = None
    mean_std_keys: tuple[str, ...] | None = None
    actions: tuple[ActionConfig, ...] | None = None

    @property
    def steps(self) -> int:
        """Number of time steps of each key."""
        return len(self.delta_indices)


@dataclass(frozen=True)
class ModalityConfig:
    """All modalities of one embodiment."""

    video: Modality
    state: Modality
    action: Modality
    language: Modality

    def action_config(self, key: str) -> ActionConfig:
        """Return an action key's representation; absolute if none is configured."""
        if self.action.actions is None:
            return ActionConfig()
        return self.action.actions[self.action.keys.index(key)]

    def relative_keys(self) -> tuple[str, ...]:
        """Return the action keys that are relative to the robot's state, in order."""
        return tuple(
            key
            for key in self.action.keys
            if self.action_config(key).rep is ActionRep.RELATIVE
            and self.action_config(key).kind == "NON_EEF"
        )


def parse_modality_config(values: Mapping[str, Any], place: str) -> ModalityConfig:
    """Parse an embodiment's modalities; ModalityError names `place` and what is wrong."""
    parts: dict[str, Modality] = {}
    for name in ("video", "state", "action", "language"):
        part = values.get(name)
        if not isinstance(part, Mapping):
            raise ModalityError(f"{place}: {name} is missing, expected a modality configuration")
        parts[name] = _parse_modality(part, f"{place}.{name}")
    config = ModalityConfig(**parts)
    if config.action.actions is not None and len(config.action.actions) != len(config.action.keys):
        raise ModalityError(
            f"{place}.action: {len(config.action.actions)} action_configs for "
            f"{len(config.action.keys)} modality_keys, expected one each"
        )
    return config


def modality_config_json(config: ModalityConfig) -> dict[str, Any]:
    """Return one embodiment's modality configuration as processor_config.json has it."""
    names = ("video", "state", "action", "language")
    return {name: _modality_json(getattr(config, name)) for name in names}


def _parse_modality(values: Mapping[str, Any], place: str) -> Modality:
    keys, deltas = values.get("modality_keys"), values.get("delta_indices")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ModalityError(f"{place}: modality_keys should be a list of names, got {keys!r}")
    if not isinstance(deltas, list) or not all(type(delta) is int for delta in deltas):
        raise ModalityError(f"{place}: delta_indices should be a list of ints, got {deltas!r}")
    actions = values.get("action_configs")
    return Modality(
        keys=tuple(keys),
        delta_indices=tuple(deltas),
        sin_cos_keys=_names(values.get("sin_cos_embedding_keys")),
        mean_std_keys=_names(values.get("mean_std_embedding_keys")),
        actions=None if actions is None else tuple(_parse_action(one, place) for one in actions),
    )


def _names(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def _parse_action(values: Mapping[str, Any], place: str) -> ActionConfig:
    rep = str(values.get("rep")).upper()
    if rep not in ActionRep.__members__:
        expected = ", ".join(ActionRep.__members__)
        raise ModalityError(f"{place}: rep is {values.get('rep')!r}, expected one of {expected}")
    return ActionConfig(
        rep=ActionRep[rep],
        kind=str(values.get("type", "NON_EEF")).upper(),
        format=str(values.get("format", "DEFAULT")).upper(),
        state_key=values.get("state_key"),
    )


def _modality_json(modality: Modality) -> dict[str, Any]:
    actions = None
    if modality.actions is not None:
        actions = [
            {
                "rep": action.rep.value,
                "type": action.kind,
                "format": action.format,
                "state_key": action.state_key,
            }
            for action in modality.actions
        ]
    return {
        "delta_indices": list(modality.delta_indices),
        "modality_keys": list(modality.keys),
        "sin_cos_embedding_keys": _listed(modality.sin_cos_keys),
        "mean_std_embedding_keys": _listed(modality.mean_std_keys),
        "action_configs": actions,
    }


def _listed(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else list(names)
