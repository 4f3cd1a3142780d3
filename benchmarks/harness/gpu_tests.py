"""The tests that need a GPU, one outcome each in a JSON file: those that passed are not run again.

python -m benchmarks.harness.gpu_tests --result FILE [PATH …]
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import tyro
from handover_common import write_json

from benchmarks.harness.machine import describe_run

TESTS = (Path("tests/model/engine/cuda/test_gpu.py"), Path("tests/server/inference/test_gpu.py"))
WORDS = 2000  # characters of a failure that are kept


@dataclass(frozen=True)
class GpuTests:
    """Run the tests marked gpu."""

    result: Path
    """JSON file with an outcome for each test; its former content is taken up"""
    paths: Annotated[tuple[Path, ...], tyro.conf.Positional] = TESTS


class OutcomeKeeper:
    """A pytest plugin that leaves out what passed before, and writes every outcome at once."""

    def __init__(self, result: Path) -> None:
        self._result = result
        content = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {}
        self.tests: dict[str, dict[str, object]] = content.get("tests", {})

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave the tests that are to run."""
        items[:] = [
            item for item in items if self.tests.get(item.nodeid, {}).get("outcome") != "passed"
        ]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a test came to; a skipped one tells why."""
        if report.when != "call" and not report.failed and not report.skipped:
            return
        outcome: dict[str, object] = {
            "outcome": report.outcome,
            "seconds": round(report.duration, 2),
        }
        if report.outcome != "passed":
            outcome["why"] = report.longreprtext[-WORDS:]
        self.tests[report.nodeid] = outcome
        self.write()

    def write(self) -> None:
        """Write all outcomes, whole."""
        written = {"tests": self.tests, "machine": describe_run(), "written": time.time()}
        write_json(self._result, written)


def main(config: GpuTests) -> int:
    """Run the tests; 0 also where some fail: the file says which."""
    keeper = OutcomeKeeper(config.result.resolve())
    arguments = ["-q", "-m", "gpu", "-p", "no:cacheprovider", *map(str, config.paths)]
    status = int(pytest.main(arguments, plugins=[keeper]))
    keeper.write()
    ran = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
    return 0 if status in ran else status


if __name__ == "__main__":
    sys.exit(main(tyro.cli(GpuTests)))
