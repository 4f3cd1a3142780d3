"""Findings of the check, as the page lists them."""

from pathlib import Path

from handover_conversion import check_dataset


def find(path: Path) -> list[tuple[str, str]]:
    """Check a dataset: (severity "fault" or "note", text) each."""
    return [(one.severity, f"{one.kind}: {one}") for one in check_dataset(path)]
