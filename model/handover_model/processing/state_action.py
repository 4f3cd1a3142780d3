"""Normalization of an embodiment's states and actions for the network, and its inverse.

No state is kept between calls: relative actions need the state that they are relative to. Results
keep the float type of the input, and are rounded to it where the published model's training data
was: after the division, then after the shift.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from handover_model.errors import ModalityError, StatisticsError
from handover_model.processing.modality import ActionRep, ModalityConfig
from handover_model.processing.statistics import EmbodimentStatistics, KeyStatistics

Groups = Mapping[str, np.ndarray]
Value = TypeVar("Value")


def sin_cos(values: np.ndarray) -> np.ndarray:
    """Return all sines, then all cosines of angles in rad: (..., D) -> (..., 2 D)."""
    return np.concatenate([np.sin(values), np.cos(values)], axis=-1)


def by_mean_std(values: np.ndarray, statistics: KeyStatistics) -> np.ndarray:
    """Shift and scale to mean 0, deviation 1; dimensions that never varied stay as they are."""
    varied = statistics.std != 0
    scaled = (values - statistics.mean) / np.where(varied, statistics.std, 1)
    return np.where(varied, scaled, values).astype(values.dtype)


def by_range(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Map [low, high] to [-1, 1]; dimensions without a range (np.isclose) become exactly 0."""
    flat = np.abs(high - low) <= 1e-8 + 1e-5 * np.abs(low)  # np.isclose, at a tenth of its time
    share = ((values - low) / np.where(flat, 1, high - low)).astype(values.dtype)
    return np.where(flat, 0, 2 * share - 1).astype(values.dtype)


def from_mean_std(values: np.ndarray, statistics: KeyStatistics) -> np.ndarray:
    """Undo by_mean_std: float64; dimensions that never varied pass unchanged here too."""
    return np.where(statistics.std != 0, values * statistics.std + statistics.mean, values)


def from_range(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Undo by_range: float64. Values beyond [-1, 1] are clipped first, so `low` … `high` bound it.

    A dimension without a range gives its constant whatever the values are.
    """
    return (np.clip(values, -1, 1) + 1) / 2 * (high - low) + low


def bounds(statistics: KeyStatistics, *, percentiles: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the range: minimum and maximum, or the 1 % and 99 % quantiles."""
    if percentiles:
        return statistics.q01, statistics.q99
    return statistics.min, statistics.max


@dataclass(frozen=True)
class NormalizeOptions:
    """The options of processor_config.json that normalization reads."""

    use_percentiles: bool = False
    clip_outliers: bool = True
    apply_sincos_state_encoding: bool = False
    use_relative_action: bool = False


@dataclass(frozen=True)
class StateActionCodec:
    """Normalizes one embodiment's groups and restores predicted actions to physical units."""

    modality: ModalityConfig
    statistics: EmbodimentStatistics
    options: NormalizeOptions

    def __post_init__(self) -> None:
        for key in self.modality.action.keys:
            action = self.modality.action_config(key)
            if action.rep is ActionRep.DELTA or (
                action.rep is ActionRep.RELATIVE
                and action.kind != "NON_EEF"
                and self.options.use_relative_action
            ):
                raise ModalityError(
                    f"action {key!r} is {action.rep.value} {action.kind}; only ABSOLUTE actions "
                    "and RELATIVE joints (NON_EEF) are implemented"
                )
            if self.is_relative(key) and self.reference_key(key) not in self.modality.state.keys:
                raise ModalityError(
                    f"action {key!r} is relative to the state {self.reference_key(key)!r}, which "
                    f"is not among the states: {', '.join(self.modality.state.keys)}"
                )

    @cached_property
    def _relative(self) -> frozenset[str]:
        """The keys of is_relative, which is called many times for every chunk."""
        return frozenset(self.modality.relative_keys() if self.options.use_relative_action else ())

    def state_dim(self, key: str) -> int:
        """Return the raw width of a state group."""
        return _entry(self.statistics.state, key, "state").dim

    def action_dim(self, key: str) -> int:
        """Return the width of an action group."""
        return self._action_statistics(key).dim

    def is_relative(self, key: str) -> bool:
        """Return whether the network predicts this action key relative to the state."""
        return key in self._relative

    def reference_key(self, key: str) -> str:
        """Return the state group that a relative action key is relative to."""
        return self.modality.action_config(key).state_key or key

    def normalize_state(self, state: Groups) -> dict[str, np.ndarray]:
        """Normalize state groups: {key: (..., T, D)} -> the same, in the modality's order.

        Groups encoded as sines and cosines become twice as wide.
        """
        modality, result = self.modality.state, {}
        for key in modality.keys:
            values = _float(_entry(state, key, "state"))
            if self.options.apply_sincos_state_encoding and key in (modality.sin_cos_keys or ()):
                result[key] = sin_cos(values)
                continue
            statistics = _entry(self.statistics.state, key, "state statistics")
            _check_width(values, statistics.dim, f"state {key!r}")
            if key in (modality.mean_std_keys or ()):
                result[key] = by_mean_std(values, statistics)
                continue
            low, high = bounds(statistics, percentiles=self.options.use_percentiles)
            result[key] = self._clip(by_range(values, low, high))
        return result

    def normalize_action(self, action: Groups, state: Groups) -> dict[str, np.ndarray]:
        """Normalize absolute actions: {key: (..., T, D)} -> the same, in the modality's order.

        state: the raw state groups at the chunk's start, {key: (..., steps, D)}; the last step is
        what relative keys are relative to.
        """
        result = {}
        for key in self.modality.action.keys:
            values = _float(_entry(action, key, "action"))
            statistics = self._action_statistics(key)
            _check_width(values, statistics.dim, f"action {key!r}")
            if self.is_relative(key):
                values = values.astype(np.float64) - self._reference(state, key)
                _check_steps(values, statistics, key)
            if key in (self.modality.action.mean_std_keys or ()):
                result[key] = self._clip(by_mean_std(values, statistics))
            else:
                low, high = self._action_bounds(key)
                result[key] = self._clip(by_range(values, low, high))
        return result

    def restore_action(self, action: Groups, state: Groups) -> dict[str, np.ndarray]:
        """Undo normalize_action: absolute actions in physical units, {key: (..., T, D)} float64."""
        result = {}
        for key in self.modality.action.keys:
            values, statistics = _entry(action, key, "action"), self._action_statistics(key)
            _check_width(values, statistics.dim, f"action {key!r}")
            if self.is_relative(key):
                _check_steps(values, statistics, key)
            if key in (self.modality.action.mean_std_keys or ()):
                restored = from_mean_std(values, statistics)
            else:
                restored = from_range(values, *self._action_bounds(key))
            if self.is_relative(key):
                restored = restored + self._reference(state, key)
            result[key] = restored
        return result

    def _reference(self, state: Groups, key: str) -> np.ndarray:
        """Return the last state step, to which a relative key is relative: (..., 1, D) float64."""
        name = self.reference_key(key)
        values = _entry(state, name, f"state, which the relative action {key!r} needs,")
        return np.asarray(values, np.float64)[..., -1:, :]

    def _action_statistics(self, key: str) -> KeyStatistics:
        if self.is_relative(key):
            return _entry(self.statistics.relative_action, key, "relative_action statistics")
        return _entry(self.statistics.action, key, "action statistics")

    def _action_bounds(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Return an action's range; relative keys always use minimum and maximum."""
        percentiles = self.options.use_percentiles and not self.is_relative(key)
        return bounds(self._action_statistics(key), percentiles=percentiles)

    def _clip(self, values: np.ndarray) -> np.ndarray:
        return np.clip(values, -1, 1) if self.options.clip_outliers else values


def _entry(entries: Mapping[str, Value], key: str, what: str) -> Value:
    if key in entries:
        return entries[key]
    have = ", ".join(entries) or "nothing"
    kind = StatisticsError if "statistics" in what else ModalityError
    raise kind(f"{what} {key!r} is missing; there is {have}")


def _float(values: np.ndarray) -> np.ndarray:
    return values if values.dtype in (np.float32, np.float64) else np.asarray(values, np.float32)


def _check_width(values: np.ndarray, dim: int, what: str) -> None:
    if values.ndim < 2 or values.shape[-1] != dim:
        raise ModalityError(f"{what} has shape {values.shape}, expected (steps, {dim})")


def _check_steps(values: np.ndarray, statistics: KeyStatistics, key: str) -> None:
    steps = statistics.min.shape[0] if statistics.min.ndim == 2 else None
    if values.shape[-2] != steps:
        raise StatisticsError(
            f"the relative action {key!r} has {values.shape[-2]} steps, but its statistics have "
            f"{steps}; compute them for this horizon"
        )
