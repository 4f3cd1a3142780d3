"""A benchmark's figures on disk, with the versions and the machine that they were made with."""

import json
from pathlib import Path

from handover_common import package_version, write_text

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
    write_text(path, json.dumps(content, indent=2) + "\n")
    return path


def _versions() -> dict[str, str]:
    found = ((package, package_version(package)) for package in PACKAGES)
    return {package: version for package, version in found if version is not None}
