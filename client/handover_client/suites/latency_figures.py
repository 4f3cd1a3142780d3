"""Figures of the latency suite: a row for each cell, and up to where success stays."""

from collections.abc import Mapping, Sequence
from typing import Any

from handover_client.suites.pairs import PAIRED, difference_figures

WITHIN = 0.02  # of success without latency, for a latency to count as harmless

DEFINITIONS = {
    **PAIRED,
    "control": "the same way of switching at 0 ms",
    "jitter_ms": "each chunk's latency is drawn evenly from latency_ms plus or minus this, by the "
    "episode's seed",
    "delay_error_steps": "policy steps by which the expected delay was made wrong, as a trial",
    "envelopes": "of each way of switching, the largest latency at which success is at most 2 "
    "points below that at 0 ms, at all smaller ones too",
    "cpu_s": "processor time of the simulators, drawing included and the server's not, in s",
}
_KEPT = (
    *("episodes", "successes", "success_rate", "wilson_95", "strict", "time_to_success_s"),
    *("border_acceleration", "within_acceleration", "border_jerk_rms", "within_jerk_rms"),
    *("jerk_rms", "delay_steps", "prefix_methods", "dropped_steps", "dry_steps", "endings"),
    *("latency_ms", "wall_s", "cpu_s"),
)


def row_figures(
    control: Mapping[str, Any], cell: Mapping[str, Any], **names: Any
) -> dict[str, Any]:
    """Summarise a cell beside its control, each by its metrics.json; names: what the cell is."""
    kept = {name: cell[name] for name in _KEPT}
    server_ms = kept.pop("latency_ms")  # what the machine took; the simulated latency is chosen
    kept["server_ms"] = server_ms and server_ms["server_total"]
    return {**names, **kept, **difference_figures(control, cell)}


def envelopes(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Find the largest harmless latency of each way of switching; 0 ms where none is."""
    found = []
    right = [row for row in rows if not row["delay_error_steps"]]
    for switching in dict.fromkeys(row["switching"] for row in right):
        ways = sorted(
            (row for row in right if row["switching"] == switching),
            key=lambda row: row["latency_ms"],
        )
        none = ways[0]  # 0 ms
        harmless = none
        for row in ways:
            if none["successes"] - row["successes"] > WITHIN * none["episodes"] + 1e-9:
                break
            harmless = row
        names = ("switching", "latency_ms", "jitter_ms", "episodes")
        found.append({name: harmless[name] for name in names})
    return found
