"""A benchmark's figures on disk, with the versions and the machine that they were made with."""

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.harness.machine import describe_run

FOLDER = Path(__file__).resolve().parents[1] / "results"
PACKAGES = (
    "handover",
    "torch",
    "onnxruntime",
    "transformers",
    "numpy",
    "pillow",
    "opencv-python-headless",
)


def write_result(name: str, figures: dict[str, object]) -> Path:
    """Write results/NAME.json, whole or not at all."""
    content = {**figures, "machine": describe_run(), "versions": _versions()}
    path = FOLDER / f"{name}.json"
    half = path.with_suffix(".json.tmp")
    half.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    half.replace(path)
    return path


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
