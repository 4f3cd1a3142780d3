"""Robustness suites of a checkpoint on both tasks, and their tables in docs/robustness.md.

    python -m benchmarks.evaluation.robustness --checkpoint checkpoints/aloha-mini
    python -m benchmarks.evaluation.robustness --pages

Run by an environment with the simulator; the checkpoint is served from --server-env. The first
command plays `handover rollout --suite robustness` for each task (an interrupted one goes on where
it was), writes results/robustness_TASK.json, and then what the second writes from those files
alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from handover_client.results.formatting import percent, points

from benchmarks.evaluation import suites
from benchmarks.harness.docs_table import markdown, write_table

PAGE = suites.ROOT / "docs/robustness.md"
_COLUMNS = ("axis", "strength 1", "strength 2", "strength 3", "below 80 % from")


def minutes(figures: Mapping[str, Any], workers: int) -> float:
    """Minutes that the episodes of a suite took, shared by so many simulators."""
    cells = [figures["control"], *(cell for axis in figures["axes"] for cell in axis["cells"])]
    return round(sum(cell["wall_s"] for cell in cells) / workers / 60, 1)


def page_part(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the page's part: a table for each task; results: {task: its JSON}."""
    parts = []
    for task, result in results.items():
        control = result["control"]
        hashed = result["provenance"]["server"]["checkpoint_hash"][:12]
        low, high = control["wilson_95"]
        parts += [
            f"**{task}**, {control['episodes']} seeds a world, checkpoint `{hashed}` "
            f"([robustness_{task}.json](../benchmarks/results/robustness_{task}.json)), "
            f"{result['minutes']:.0f} minutes on {result['machine']['cores']} cores. Control: "
            f"{percent(control['success_rate'])} ({100 * low:.0f} … {100 * high:.0f}).",
            markdown(_COLUMNS, map(_row, result["axes"])),
        ]
    return "\n\n".join(parts)


def _row(axis: Mapping[str, Any]) -> Sequence[str]:
    too_much = axis["falls_below_80_at"]
    return (
        f"`{axis['axis']}`",
        *map(_cell, axis["cells"]),
        f"strength {too_much}" if too_much else "–",
    )


def _cell(cell: Mapping[str, Any]) -> str:
    low, high = cell["difference_95"]
    difference = f"{points(cell['difference'])}, {points(low)} … {points(high)}"
    return f"{percent(cell['success_rate'])} ({difference})"


def main() -> None:
    """Play the suites, and write the figures."""
    given = suites.suite_flags("Success in changed worlds.", "robustness").parse_args()
    if not given.pages:
        for task, folder in suites.play(given, "robustness", ()).items():
            figures = suites.read_figures(folder)
            figures["definitions"] |= {"minutes": "all episodes' seconds / workers / 60"}
            took = {"minutes": minutes(figures, given.workers), "workers": given.workers}
            suites.write_result("robustness", task, {**figures, **took})
    write_table("robustness", page_part(suites.read_results("robustness")), PAGE)


if __name__ == "__main__":
    main()
