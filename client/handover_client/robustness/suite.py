"""Robustness suite: a control and every strength of every axis on the same seeds, as rollouts."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handover_common import check_new, write_bytes, write_json
from handover_envs.perturbations import Axis, axis_names, find_axis

from handover_client.connection.security import ChannelSecurity
from handover_client.errors import EvaluationError
from handover_client.robustness.figures import (
    DEFINITIONS,
    axis_figures,
    cell_figures,
    failed_beside_control,
)
from handover_client.robustness.folder import CONTROL, SuiteFolder
from handover_client.rollout.config import RolloutConfig
from handover_client.rollout.folder import RolloutFolder
from handover_client.rollout.loop import PlayedEpisode
from handover_client.rollout.record import EpisodeRecord
from handover_client.rollout.run import PlayAll, Rollout
from handover_client.rollout.simulation import open_simulators, prepare_rollout
from handover_client.rollout.trace import EpisodeTrace

_STRENGTHS = (1, 2, 3)


@dataclass(frozen=True)
class _Suite:
    """A suite under way: its folder, and what plays the episodes of each cell."""

    folder: SuiteFolder
    rollouts: Mapping[str, Rollout]
    play_all: PlayAll

    def play(self, name: str) -> dict[str, Any]:
        """Play a cell, unless it is finished; returns its metrics.json."""
        figures = self.folder.figures(name)
        if figures is None:
            rollout = self.rollouts[name]
            with RolloutFolder(self.folder.cell(name), rollout.plan()) as folder:
                figures = rollout.run(folder, self.play_all)
                write_json(folder.path / "metrics.json", figures)
                folder.publish()
        return figures

    def film(self, name: str, episode: int) -> str:
        """Draw a played episode of a cell; returns the video's path in the suite's folder."""
        (task,) = [each for each in self.rollouts[name].tasks if each.episode == episode]
        path = f"videos/{name}_seed{task.seed}.mp4"
        if not (self.folder.path / path).exists():
            played = _played(self.folder.cell(name), episode)
            for finished in self.play_all([dataclasses.replace(task, played=played)]):
                write_bytes(self.folder.path / path, finished.video)
        return path


def play_suite(
    config: RolloutConfig,
    security: ChannelSecurity,
    write_report: Callable[[Path, Mapping[str, Any]], None],
) -> dict[str, Any]:
    """Play what is missing of a suite into config.output; returns its metrics.json.

    The control is a plain rollout: its world, its physics and its chunks are those of `handover
    rollout` without a suite.

    write_report: adds report.html to a folder. Raises UsageError and EvaluationError as rollouts
    do.
    """
    check_new(config.output)
    axes = [find_axis(name) for name in config.axes or axis_names()]
    plain = dataclasses.replace(config.settings, videos="none")
    rollouts = {CONTROL: prepare_rollout(dataclasses.replace(config, settings=plain), security)}
    for axis in axes:
        for strength in _STRENGTHS:
            changed = dataclasses.replace(plain, change=f"{axis.name}:{strength}")
            cell = dataclasses.replace(config, settings=changed)
            rollouts[f"{axis.name}_{strength}"] = prepare_rollout(cell, security)
    plan = rollouts[CONTROL].plan() | {
        "axes": {axis.name: list(axis.strengths) for axis in axes},
        "films": config.settings.videos,
    }
    for name, rollout in rollouts.items():
        if rollout.plan()["checkpoint_hash"] != plan["checkpoint_hash"]:
            raise EvaluationError(f"the server changed its weights before {name} was to be played")
    with open_simulators(config) as play_all, SuiteFolder(config.output, plan, "suite") as folder:
        figures = _play(_Suite(folder, rollouts, play_all), axes, config.settings.videos != "none")
        write_json(folder.path / "metrics.json", figures)
        write_report(folder.path, figures)
        folder.publish()
    return figures


def _play(suite: _Suite, axes: list[Axis], films: bool) -> dict[str, Any]:
    began = time.monotonic()
    control = suite.play(CONTROL)
    described = []
    for axis in axes:
        cells = {strength: suite.play(f"{axis.name}_{strength}") for strength in _STRENGTHS}
        videos = _film_a_pair(suite, axis, control, cells) if films else None
        described.append(axis_figures(axis, control, cells) | {"videos": videos})
    return {
        "kind": "robustness",
        "definitions": control["definitions"] | DEFINITIONS,
        "control": cell_figures(control),
        "axes": described,
        "settings": control["settings"],
        "instruction": control["instruction"],
        "provenance": control["provenance"],
        "seconds": round(time.monotonic() - began, 1),  # of this run: a resumed one is shorter
    }


def _film_a_pair(
    suite: _Suite, axis: Axis, control: dict[str, Any], cells: Mapping[int, dict[str, Any]]
) -> dict[str, Any] | None:
    """Draw the first failure at the weakest strength beside its control; None without any."""
    for strength, cell in cells.items():
        episode = failed_beside_control(control, cell)
        if episode is not None:
            return {
                "strength": strength,
                "seed": cell["settings"]["seeds"][str(episode)],
                "control": suite.film(CONTROL, episode),
                "changed": suite.film(f"{axis.name}_{strength}", episode),
            }
    return None


def _played(folder: Path, episode: int) -> PlayedEpisode:
    lines = (folder / "episodes.jsonl").read_text(encoding="utf-8").splitlines()
    records = {record.episode: record for record in map(EpisodeRecord.from_line, lines)}
    trace = EpisodeTrace.load(folder / f"traces/episode_{episode:06d}.npz")
    return PlayedEpisode(records[episode], trace)
