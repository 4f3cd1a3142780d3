"""Perturbations: axes along which the simulated world may differ from the one of training."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_envs.perturbations.axis import Axis, Delay, Look
    from handover_envs.perturbations.registry import (
        AXES,
        axis_names,
        find_axis,
        parse_change,
        parse_vary,
        unchanged,
    )
    from handover_envs.perturbations.simulator import ChangedSimulator, VariedSimulator

__getattr__, __dir__ = lazy(__name__, __file__)
