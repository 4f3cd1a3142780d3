"""Robustness of a policy: a control, and every strength of every axis on the same seeds."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from handover_envs.perturbations import Axis, axis_names, find_axis, unchanged
from handover_envs.tasks import find_task
from handover_proto import PolicySpec

from handover_client.rollout.config import EpisodeSettings
from handover_client.suites.folder import CONTROL
from handover_client.suites.robustness_figures import (
    DEFINITIONS,
    axis_figures,
    cell_figures,
    failed_beside_control,
)
from handover_client.suites.suite import SuiteRun

_STRENGTHS = (1, 2, 3)


class RobustnessSuite:
    """Suite whose cells are worlds changed along axes; see docs/robustness.md."""

    def __init__(self, axes: Sequence[str], films: str) -> None:
        """axes: their names, all for none; films: as --videos. Raises UsageError for others."""
        self._axes = [find_axis(name) for name in axes or axis_names()]
        self._films = films
        self._not_played: dict[str, dict[int, str]] = {}  # {axis: {strength: why}}

    def cells(
        self, settings: EpisodeSettings, spec: PolicySpec | None
    ) -> Mapping[str, EpisodeSettings]:
        """See Suite. A world that would be the control's is none of its cells."""
        plain, task = dataclasses.replace(settings, videos="none"), find_task(settings.task)
        cells = {CONTROL: plain}
        for axis in self._axes:
            reasons = {strength: unchanged(axis, strength, task) for strength in _STRENGTHS}
            self._not_played[axis.name] = {at: why for at, why in reasons.items() if why}
            for strength in self._played(axis):
                change = f"{axis.name}:{strength}"
                cells[f"{axis.name}_{strength}"] = dataclasses.replace(plain, change=change)
        return cells

    def plan(self, settings: EpisodeSettings) -> Mapping[str, Any]:
        """See Suite."""
        axes = {axis.name: list(axis.strengths) for axis in self._axes}
        return {"axes": axes, "films": self._films}

    def figures(self, run: SuiteRun) -> dict[str, Any]:
        """See Suite."""
        control = run.play(CONTROL)
        described = []
        for axis in self._axes:
            cells = {
                strength: run.play(f"{axis.name}_{strength}") for strength in self._played(axis)
            }
            videos = None
            if self._films != "none":
                videos = _film_a_pair(run, axis, control, cells)
            described.append(
                axis_figures(axis, control, cells, self._not_played[axis.name]) | {"videos": videos}
            )
        return {
            "kind": "robustness",
            "definitions": control["definitions"] | DEFINITIONS,
            "control": cell_figures(control),
            "axes": described,
        }

    def _played(self, axis: Axis) -> list[int]:
        return [each for each in _STRENGTHS if each not in self._not_played[axis.name]]


def _film_a_pair(
    run: SuiteRun, axis: Axis, control: dict[str, Any], cells: Mapping[int, dict[str, Any]]
) -> dict[str, Any] | None:
    """Draw the first failure at the weakest strength beside its control; None without any."""
    for strength, cell in cells.items():
        episode = failed_beside_control(control, cell)
        if episode is not None:
            return {
                "strength": strength,
                "seed": cell["settings"]["seeds"][str(episode)],
                "control": run.film(CONTROL, episode),
                "changed": run.film(f"{axis.name}_{strength}", episode),
            }
    return None
