"""Latency envelopes of a checkpoint, from suites of rollouts into handover.json and the card."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from handover_common import UsageError, write_json, write_text
from handover_model.checkpoints import METADATA_FILE, load_checkpoint, load_metadata
from handover_proto import LatencyEnvelope

from handover_training.card.config import CardConfig

CARD_FILE = "README.md"
_BEGIN, _END = "<!-- latency: made by handover card -->", "<!-- end of latency -->"


def write_latency(config: CardConfig) -> tuple[Path, list[LatencyEnvelope]]:
    """Write the runs' envelopes, each atomically; those of other tasks and switchings stay.

    No answer and no hash depends on them. Returns handover.json's path and all envelopes. Raises
    UsageError for runs that are no latency suites, or of another checkpoint.
    """
    folder = config.checkpoint
    checkpoint = load_checkpoint(folder, tokenizer=config.tokenizer)
    digest = checkpoint.hash(checkpoint.processor(config.embodiment_tag))
    found = {
        (each.task, each.switching): each
        for each in (
            *load_metadata(folder).latency_envelopes,
            *(envelope for run in config.runs for envelope in read_envelopes(run, digest)),
        )
    }
    envelopes = list(found.values())
    path = folder / METADATA_FILE
    values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    values["latency_envelopes"] = [dataclasses.asdict(each) for each in envelopes]
    write_json(path, values)
    card = folder / CARD_FILE
    text = card.read_text(encoding="utf-8") if card.is_file() else f"# {folder.resolve().name}\n"
    write_text(card, with_latency(text, envelopes))
    return path, envelopes


def read_envelopes(run: Path, checkpoint_hash: str) -> list[LatencyEnvelope]:
    """Read a suite's envelopes. Raises UsageError unless it is one, of this checkpoint."""
    path = run if run.is_file() else run / "metrics.json"
    try:
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if figures["kind"] != "latency":
            raise UsageError(f"{run} is a {figures['kind']}, expected rollout --suite latency")
        played = figures["provenance"]["server"]["checkpoint_hash"]
        envelopes = [
            LatencyEnvelope(
                task=str(figures["instruction"]),
                switching=str(each["switching"]),
                latency_ms=float(each["latency_ms"]),
                jitter_ms=float(each["jitter_ms"]),
                episodes=int(each["episodes"]),
            )
            for each in figures["envelopes"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{run} is no finished latency suite ({error!r}) (--runs)") from None
    if played != checkpoint_hash:
        raise UsageError(
            f"{run} was played by checkpoint {played[:12]}, expected {checkpoint_hash[:12]} of "
            "--checkpoint: what was measured of one says nothing about another"
        )
    return envelopes


def with_latency(card: str, envelopes: Sequence[LatencyEnvelope]) -> str:
    """Put a table of the envelopes into a card's text, in place of a former one."""
    table = [
        "| task | chunks switched by | latency, ms | episodes at each |",
        "|---|---|---|---|",
        *(
            f"| {each.task} | `{each.switching}` | {each.latency_ms:g} ± {each.jitter_ms:g} | "
            f"{each.episodes} |"
            for each in envelopes
        ),
    ]
    part = "\n".join(
        [
            _BEGIN,
            "## Latency",
            "",
            "The largest latency at which success stays within 2 points of that without any, by",
            "`handover rollout --suite latency` in simulation:",
            "",
            *table,
            _END,
        ]
    )
    before, begun, rest = card.partition(_BEGIN)
    if not begun:
        return f"{card.rstrip()}\n\n{part}\n"
    _, ended, after = rest.partition(_END)
    if not ended:
        raise UsageError(f"the card has {_BEGIN} without {_END}: remove that, and repeat")
    return f"{before}{part}{after}"
