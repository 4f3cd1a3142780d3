"""Writes the README's figures from the raw JSON in benchmarks/results: they cannot disagree.

    python docs/figures.py            writes what stands between the README's markers
    python docs/figures.py --check    says whether it is up to date (tests/docs/test_figures.py)

It needs no package. A row appears once its files are there.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headlines import headline

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks/results"

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """A line of the table: what was measured, how its figure is written, from which files."""

    what: str
    figure: Callable[..., str]  # takes each file's content
    files: tuple[str, ...]


def main(check: bool) -> int:
    """Rewrite the README's generated parts, or tell whether they are as they would be written."""
    written = README.read_text(encoding="utf-8")
    fresh = with_figures(written)
    if check:
        return 0 if fresh == written else 1
    README.write_text(fresh, encoding="utf-8")
    return 0


def with_figures(page: str) -> str:
    """Put the table and the headlines between their markers."""
    for name, text in (("figures", table()), ("headlines", headlines())):
        begin, end = f"<!-- {name}: made by docs/figures.py -->\n", f"<!-- end of {name} -->"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise SystemExit(f"README.md has no part that is marked {begin.strip()} … {end}")
        page = f"{before}{begin}{text}{end}{after}"
    return page


def table() -> str:
    """Write the table of all figures whose files are there."""
    lines = ["| what | figure | raw |", "|---|---|---|"]
    for row in ROWS:
        if all((RESULTS / f"{name}.json").exists() for name in row.files):
            links = ", ".join(f"[{name}](benchmarks/results/{name}.json)" for name in row.files)
            lines.append(f"| {row.what} | {row.figure(*map(result, row.files))} | {links} |")
    return "\n".join(lines) + "\n"


def headlines() -> str:
    """Write the last lines of the demo as they are for the committed runs."""
    lines = [headline(result(name)) for name in RUNS if (RESULTS / f"{name}.json").exists()]
    return "\n".join(["```", *lines, "```"]) + "\n"


def result(name: str) -> Result:
    """Read a result file."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


RUNS = (
    "replay_aloha_mini_transfer_cube",
    "rollout_aloha_mini_transfer_cube",
    "rollout_aloha_mini_insertion",
)


def percent(share: float) -> str:
    """Write a share as a percentage; 100 is all of them."""
    return f"{100 * share:.0f}" if share == 1 or share < 0.995 else f"{100 * share:.1f}"


def _episodes(run: Result) -> str:
    low, high = run["wilson_95"]
    return (
        f"{run['successes']} of {run['episodes']} ({percent(run['success_rate'])} %, "
        f"95 % interval {percent(low)} … {percent(high)})"
    )


def _both_tasks(transfer: Result, insertion: Result) -> str:
    return f"TransferCube {_episodes(transfer)}, Insertion {_episodes(insertion)}"


def _conversion(run: Result) -> str:
    times = run["times_the_straightforward"]
    return f"{times['mp4v']:.1f}× the frames per second as mp4v, {times['h264']:.1f}× as h264"


_TASKS = {
    "transfer_cube": "TransferCube",
    "insertion": "Insertion",
    "transfer_cube_left": "`transfer_cube_left`",
}


def _experts(way: str) -> Callable[[Result], str]:
    def figure(run: Result) -> str:
        counts = (
            f"{_TASKS[name]} {task[way]['strict_successes']} of {task['seeds']} seeds"
            for name, task in run["tasks"].items()
        )
        return ", ".join(counts)

    return figure


def _played_back(transfer: Result, insertion: Result) -> str:
    runs = [run["rollouts"]["linear, 8 steps a chunk"] for run in (transfer, insertion)]
    counts = [f"{run['successes']} of {run['episodes']}" for run in runs]
    return f"TransferCube {counts[0]}, Insertion {counts[1]}"


def _open_loop(run: Result) -> str:
    score = run["joints_14"]
    shares = "/".join(percent(share) for share in score["success_at"].values())
    return (
        f"{len(run['episodes'])} episodes: MSE {score['mse']:.5f}, MAE {score['mae']:.4f}, "
        f"success @0.05/0.10/0.20 {shares} %"
    )


def _engine(result: Result) -> str:
    run = result["runs"][0]
    fast, reference = (run["cpu_ms"][name]["p50"] for name in ("fast", "reference"))
    times = run["times_as_fast"]["cpu"]["median"]
    return (
        f"{fast:.1f} ms of CPU time (median); {reference:.1f} ms by the reference path, asked in "
        f"turn ({times:.1f}×)"
    )


def _simulation(run: Result) -> str:
    ours = run["ours"]["replanned_after_8_policy_steps"]
    equal = run["states_and_rewards"].partition(",")[0]
    return (
        f"{ours['times_faster']:.0f}× faster ({ours['frames']} frames drawn of "
        f"{run['gym_aloha']['frames']:,}), {equal} states and rewards"
    )


def _transport(run: Result) -> str:
    added = run["goals"]["added_by_the_server"]["p50_ms"]
    call, stream = (added[f"256x256 raw, {way}"] for way in ("unary", "stream"))
    return f"{call:.2f} ms a call, {stream:.2f} ms on a stream"


def _soak(run: Result) -> str:
    return (
        f"{run['rss_before_mib']:.1f} → {run['rss_after_mib']:.1f} MiB over "
        f"{run['config']['minutes']:.0f} minutes, {run['requests']:,} requests"
    )


def _chaos(run: Result) -> str:
    kinds = run["findings"]
    lost, twice = (sum(kind[name] for kind in kinds) for name in ("lost", "duplicated"))
    return f"{len(kinds)} kinds of fault: {lost} requests lost, {twice} answered twice"


def _startup(run: Result) -> str:
    helps = [spread for name, spread in run["seconds"].items() if name.endswith("--help")]
    cpu = [spread["cpu_median"] for spread in helps]
    eager = run["seconds"]["eager imports (server)"]["cpu_median"]
    return f"{min(cpu):.2f} to {max(cpu):.2f} CPU seconds; with eager imports {eager:.1f}"


ROWS = (
    Row(
        "the shipped checkpoint, closed loop on unseen seeds, default rendering",
        _both_tasks,
        ("rollout_aloha_mini_transfer_cube", "rollout_aloha_mini_insertion"),
    ),
    Row(
        "the same, open loop on held-out TransferCube episodes, 14 joints",
        _open_loop,
        ("replay_aloha_mini_transfer_cube",),
    ),
    Row(
        "the same, open loop on held-out Insertion episodes, 14 joints",
        _open_loop,
        ("replay_aloha_mini_insertion",),
    ),
    Row(
        "a chunk of the shipped checkpoint on one CPU thread",
        _engine,
        ("engine",),
    ),
    Row(
        "scripted experts at 50 Hz, strict success",
        _experts("50_hz"),
        ("experts",),
    ),
    Row(
        "the same plans as 20 Hz targets, linear in the arms",
        _experts("20_hz_linear"),
        ("experts",),
    ),
    Row(
        "recorded 20 Hz actions played back by the server on the same seeds",
        _played_back,
        ("replay_closed_loop_transfer_cube", "replay_closed_loop_insertion"),
    ),
    Row(
        "conversion of 30 episodes, against imageio + Pillow + OpenCV in the same run",
        _conversion,
        ("conversion",),
    ),
    Row(
        "a lockstep episode at a chunk every 8 steps, against stepping gym-aloha's own environment",
        _simulation,
        ("simulation",),
    ),
    Row(
        "what server and client add to a gRPC call with one raw 256×256 frame, median",
        _transport,
        ("transport",),
    ),
    Row(
        "the server's memory under mixed traffic, garbage and cut connections",
        _soak,
        ("soak_gateways",),
    ),
    Row(
        "the server under faults (disk full, policy hangs, killed, hostile clients …)",
        _chaos,
        ("chaos",),
    ),
    Row("`--help` of each command", _startup, ("startup",)),
)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
