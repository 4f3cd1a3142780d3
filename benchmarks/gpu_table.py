"""The GPU's part of docs/serving.md, from whatever raw JSON results/gpu_day holds."""

import json
from pathlib import Path
from typing import Any

from benchmarks.harness.docs_table import markdown, write_table

NOTHING = "Not measured yet: `python -m benchmarks.gpu_day` on a GPU host fills this in."
HEADER = ("chunk of", "variant", "p50 ms", "p95 ms", "of the floor", "chunks/s by batch")


def main(folder: Path) -> None:
    """Write the part between the page's markers."""
    write_table("gpu_day", page_part(folder))


def page_part(folder: Path) -> str:
    """Give the tables of what was measured; one sentence where nothing was."""
    found = {path.stem: _read(path) for path in sorted(folder.glob("*.json"))}
    results = {name: content for name, content in found.items() if not name.endswith(".outcome")}
    parts = [_inference(results), *map(_line, results.items())]
    said = "\n".join(filter(None, parts))
    failed = [
        f"- {name.removesuffix('.outcome')}: {content.get('failed') or content.get('cut_off')}"
        for name, content in found.items()
        if {"failed", "cut_off"} & set(content)
    ]
    return "\n".join([said or NOTHING, *failed])


def _inference(results: dict[str, Any]) -> str:
    """One row for each variant and horizon; batches come from several files."""
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for name, content in results.items():
        for run in content.get("runs", []) if name.startswith("inference_") else []:
            for variant, measured in run["variants"].items():
                row = rows.setdefault((run["horizon"], variant), {"batches": {}})
                row |= {"device": run["device"], "dtype": run["dtype"]}
                if "not_available" in measured:
                    row.setdefault("why", measured["not_available"])
                    continue
                if "wall_ms" not in row:
                    row |= {key: measured[key] for key in ("wall_ms", "share_of_floor")}
                row["batches"] |= {
                    each["batch"]: each["chunks_per_s"] for each in measured["batches"]
                }
    if not rows:
        return ""
    about = ", ".join(sorted({f"{row['device']}, {row['dtype']}" for row in rows.values()}))
    return f"On {about}:\n\n" + markdown(HEADER, [_row(*item) for item in rows.items()]) + "\n"


def _row(key: tuple[int, str], row: dict[str, Any]) -> tuple[str, ...]:
    horizon, variant = key
    if "wall_ms" not in row:
        return str(horizon), variant, "–", "–", "–", f"not available: {row.get('why', '')}"
    rates = ", ".join(f"{size}: {rate:g}" for size, rate in sorted(row["batches"].items()))
    wall = row["wall_ms"]
    share = f"{row['share_of_floor']:.0%}"
    return str(horizon), variant, f"{wall['p50']:.2f}", f"{wall['p95']:.2f}", share, rates


def _line(item: tuple[str, dict[str, Any]]) -> str:
    """Say what one other file tells."""
    name, content = item
    if name == "tests":
        outcomes = [test["outcome"] for test in content["tests"].values()]
        return f"- tests for a GPU: {outcomes.count('passed')} of {len(outcomes)} passed"
    if name.startswith("wire_"):
        trip = content["policies"]["shipped"]["round_trip_ms"]
        return f"- {name}: round trip {trip['p50']:.2f} ms (p50), {trip['p99']:.2f} ms (p99)"
    if name.startswith("finetuning_"):
        (way,) = content["ways"].values()
        memory = f", {way['peak_gpu_mib']:.0f} MiB" if "peak_gpu_mib" in way else ""
        return f"- {name}: {way['samples_per_s']:.2f} samples/s{memory}"
    if name.startswith("rollout_"):
        return (
            f"- {name}: {content['successes']} of {content['episodes']}, "
            f"{content['seconds_per_episode']:.1f} s an episode"
        )
    return ""


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
