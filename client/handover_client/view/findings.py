"""Findings of the check, as the page lists them."""

from pathlib import Path

from handover_conversion import check_dataset


def find(path: Path) -> list[tuple[str, str]] | None:
    """Check a dataset: (severity "fault" or "note", text) each; None for one that has no check."""
    if not (path / "meta/modality.json").is_file():
        return None
    return [("fault", str(fault)) for fault in check_dataset(path)]
