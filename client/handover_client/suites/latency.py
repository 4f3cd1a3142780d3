"""Latency of a policy's chunks: every way of switching at every latency, on the same seeds."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from handover_proto import PolicySpec

from handover_client.control.blending import sends_rest
from handover_client.errors import EvaluationError
from handover_client.rollout.config import EpisodeSettings, Switching
from handover_client.suites.latency_figures import DEFINITIONS, envelopes, row_figures
from handover_client.suites.suite import SuiteRun

LATENCIES_MS = (0, 50, 100, 200, 300, 400)
JITTER = 0.1  # of the latency, plus or minus
WRONG_BY_STEPS = (-2, 2)  # of the policy, in the cells that expect a wrong delay
_WRONG_AT_MS = 300
_WRONG_BY = "rtc"


@dataclass(frozen=True, order=True)
class _Cell:
    switching: Switching
    latency_ms: int
    delay_error_steps: int = 0

    @property
    def name(self) -> str:
        error = f"_{self.delay_error_steps:+d}" if self.delay_error_steps else ""
        return f"{self.switching}_{self.latency_ms}ms{error}"

    @property
    def jitter_ms(self) -> float:
        return JITTER * self.latency_ms

    def settings(self, plain: EpisodeSettings) -> EpisodeSettings:
        return dataclasses.replace(
            plain,
            realtime=True,
            clock="simulated",
            videos="none",
            switching=self.switching,
            latency_ms=float(self.latency_ms),
            jitter_ms=self.jitter_ms,
            delay_error_steps=self.delay_error_steps,
        )


class LatencySuite:
    """Suite whose cells are latencies and ways of switching; see docs/closed_loop.md."""

    def __init__(
        self, latencies_ms: Sequence[int] = (), switchings: Sequence[Switching] = ()
    ) -> None:
        """Choose some of the latencies and ways; none for all. 0 ms is always played."""
        self._latencies_ms = sorted({0, *(latencies_ms or LATENCIES_MS)})
        self._switchings = tuple(dict.fromkeys(switchings))
        self._cells: list[_Cell] = []

    def cells(
        self, settings: EpisodeSettings, spec: PolicySpec | None
    ) -> Mapping[str, EpisodeSettings]:
        """See Suite. Raises EvaluationError for a way of switching that the policy lacks."""
        assert spec is not None, "the flags were checked: there is a server"
        ways = _ways(spec, self._switchings)
        cells = [_Cell(way, ms) for way in ways for ms in self._latencies_ms]
        if _WRONG_BY in ways and _WRONG_AT_MS in self._latencies_ms:
            cells += [_Cell(_WRONG_BY, _WRONG_AT_MS, steps) for steps in WRONG_BY_STEPS]
        self._cells = cells
        return {cell.name: cell.settings(settings) for cell in cells}

    def plan(self, settings: EpisodeSettings) -> Mapping[str, Any]:
        """See Suite."""
        return {"jitter": JITTER}

    def figures(self, run: SuiteRun) -> dict[str, Any]:
        """See Suite."""
        played = {cell: run.play(cell.name) for cell in self._cells}
        control = played[self._cells[0]]
        rows = [
            row_figures(
                played[_Cell(cell.switching, 0)],
                figures,
                name=cell.name,
                switching=cell.switching,
                latency_ms=cell.latency_ms,
                jitter_ms=cell.jitter_ms,
                delay_error_steps=cell.delay_error_steps,
            )
            for cell, figures in played.items()
        ]
        return {
            "kind": "latency",
            "definitions": control["definitions"] | DEFINITIONS,
            "control": {"episodes": control["episodes"]},
            "learned_delay_steps": _learned_delay_steps(run),
            "rows": rows,
            "envelopes": envelopes(rows),
        }


def _ways(spec: PolicySpec, chosen: Sequence[Switching]) -> Sequence[Switching]:
    """List the ways of switching; guidance apart from rtc only where the policy has learnt that."""
    has = {way: spec.supports_prefix or not sends_rest(way) for way in get_args(Switching)}
    missing = [way for way in chosen if not has[way]]
    if missing:
        raise EvaluationError(
            f"--switchings {' '.join(missing)}: the server's {spec.policy!r} policy has no "
            "real-time chunking"
        )
    if not spec.learned_delay_steps and not chosen:
        has["rtc_guided"] = False  # rtc is guided
    return chosen or [way for way, is_there in has.items() if is_there]


def _learned_delay_steps(run: SuiteRun) -> int:
    server = next(iter(run.rollouts.values())).tasks[0].server
    return server.info.spec.learned_delay_steps if server else 0
