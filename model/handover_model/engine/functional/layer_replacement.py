"""Replacement of the large linear layers, which are found by name."""

import dataclasses
from collections.abc import Callable
from typing import Any

from handover_model.engine.functional.chunk import EngineWeights
from handover_model.engine.functional.linear import Dense, Linear

# nearly all multiplications are in these; embeddings, encoders and decoder stay as they are
PLACES = (
    "vision.layers.",
    "language.layers.",
    "head.blocks.",
    "head.text_memory",
    "head.image_memory",
)


def replace_layers(
    weights: EngineWeights,
    change: Callable[[str, Any], Linear],
    kinds: tuple[type, ...] = (Dense,),
) -> EngineWeights:
    """Return the weights with each large layer replaced by `change` of its name and weights.

    kinds: the classes of the layers to replace.
    """
    return _changed(weights, "", change, kinds)


def _changed(
    value: Any, name: str, change: Callable[[str, Any], Linear], kinds: tuple[type, ...]
) -> Any:
    if isinstance(value, kinds):
        return change(name, value) if name.startswith(PLACES) else value
    if isinstance(value, tuple):
        return tuple(_changed(each, f"{name}.{k}", change, kinds) for k, each in enumerate(value))
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    parts = {
        field.name: _changed(
            getattr(value, field.name), f"{name}.{field.name}".lstrip("."), change, kinds
        )
        for field in dataclasses.fields(value)
    }
    return dataclasses.replace(value, **parts)
