"""Suites of rollouts: cells on the same seeds, played one after another, taken up after a kill."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from handover_common import check_new, write_bytes, write_json
from handover_proto import PolicySpec

from handover_client.connection.security import ChannelSecurity
from handover_client.errors import EvaluationError
from handover_client.rollout.config import EpisodeSettings, RolloutConfig
from handover_client.rollout.folder import RolloutFolder
from handover_client.rollout.loop import PlayedEpisode
from handover_client.rollout.record import EpisodeRecord
from handover_client.rollout.run import PlayAll, Rollout
from handover_client.rollout.simulation import (
    find_server,
    open_simulators,
    prepare_rollout,
)
from handover_client.rollout.trace import EpisodeTrace
from handover_client.suites.folder import SuiteFolder


@dataclass(frozen=True)
class SuiteRun:
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


class Suite(Protocol):
    """Interface of a suite: which worlds it plays, and what is told of them."""

    def cells(
        self, settings: EpisodeSettings, spec: PolicySpec | None
    ) -> Mapping[str, EpisodeSettings]:
        """Name the cells and give their settings; the first is the control.

        settings: those of the command; spec: what the server serves, None for the script
        """
        ...

    def plan(self, settings: EpisodeSettings) -> Mapping[str, Any]:
        """List what decides the suite beside its control and the names of its cells."""
        ...

    def figures(self, run: SuiteRun) -> dict[str, Any]:
        """Play the cells; returns the suite's own part of metrics.json, its `kind` too."""
        ...


def play_suite(
    suite: Suite,
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
    rollouts = _prepare(suite, config, security)
    control = next(iter(rollouts))
    own = {"cells": list(rollouts), **suite.plan(config.settings)}
    plan = {**rollouts[control].plan(), **own}
    began = time.monotonic()
    with open_simulators(config) as play_all, SuiteFolder(config.output, plan, "suite") as folder:
        run = SuiteRun(folder, rollouts, play_all)
        figures = suite.figures(run)
        plain = run.play(control)
        figures |= {name: plain[name] for name in ("settings", "instruction", "provenance")}
        # of this run: a resumed one is shorter
        figures |= {"seconds": round(time.monotonic() - began, 1)}
        write_json(folder.path / "metrics.json", figures)
        write_report(folder.path, figures)
        folder.publish()
    return figures


def _prepare(suite: Suite, config: RolloutConfig, security: ChannelSecurity) -> dict[str, Rollout]:
    """List the episodes of each cell. Raises EvaluationError where the weights change meanwhile."""
    spec = None
    if config.settings.policy == "server":
        spec = find_server(config, security).info.spec
    rollouts = {}
    for name, settings in suite.cells(config.settings, spec).items():
        rollouts[name] = prepare_rollout(dataclasses.replace(config, settings=settings), security)
        if spec and rollouts[name].plan()["checkpoint_hash"] != spec.checkpoint_hash:
            raise EvaluationError(f"the server changed its weights before {name} was to be played")
    return rollouts


def _played(folder: Path, episode: int) -> PlayedEpisode:
    lines = (folder / "episodes.jsonl").read_text(encoding="utf-8").splitlines()
    records = {record.episode: record for record in map(EpisodeRecord.from_line, lines)}
    trace = EpisodeTrace.load(folder / f"traces/episode_{episode:06d}.npz")
    return PlayedEpisode(records[episode], trace)
