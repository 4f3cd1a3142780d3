"""Every fault of tests/chaos, one after another, as a table and as results/chaos.json.

    make chaos           (or: python -m benchmarks.chaos; extras serve and dev)
    python -m benchmarks.chaos --table        bring the table in docs/serving.md up to the JSON

Each line is a test. Where one fails, the table is printed and nothing is written.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import tyro

from benchmarks.harness.docs_table import markdown, write_table
from benchmarks.harness.result_file import FOLDER, write_result

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests" / "chaos"
HEADER = ("fault", "injected", "what clients saw", "lost", "twice", "recovery")


@dataclass(frozen=True)
class ChaosConfig:
    """Try a policy server under fault."""

    table: bool = False
    """Only write the table of the last results into docs/serving.md."""
    select: str = ""
    """Run the tests that match this pytest expression, and write nothing."""


class FindingCollector:
    """A pytest plugin that keeps what the tests found."""

    def __init__(self) -> None:
        self.findings: list[dict] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a test found, passed or not, and every test that failed before it did."""
        if report.when != "call" and not report.failed:
            return
        found: list[object] = [value for name, value in report.user_properties if name == "finding"]
        if not found and report.failed:
            found = [{"fault": report.nodeid.rpartition("::")[2]}]
        for finding in found:
            assert isinstance(finding, dict)
            self.findings.append({**finding, "test": report.nodeid, "outcome": report.outcome})


def main(config: ChaosConfig) -> int:
    """Run the faults; returns pytest's exit status."""
    if config.table:
        findings = json.loads((FOLDER / "chaos.json").read_text())["findings"]
        write_table("chaos", markdown(HEADER, map(row, findings)))
        return 0
    collector = FindingCollector()
    arguments = ["-q", "-m", "slow or not slow", "-p", "no:cacheprovider"]
    arguments += [
        str(TESTS),
        "--ignore",
        str(TESTS / "test_table.py"),
    ]  # that is about the last run
    arguments += ["-k", config.select] if config.select else []
    status = int(pytest.main(arguments, plugins=[collector]))
    table = markdown(HEADER, map(row, collector.findings))
    print(table)
    if status == 0 and not config.select:
        print(write_result("chaos", {"what": WHAT, "findings": collector.findings}))
        write_table("chaos", table)
    return status


WHAT = (
    "faults under load; every request has a sequence. lost: its caller had neither answer nor "
    "error 10 s after its deadline. duplicated: the server answered its sequence twice. recovery: "
    "to the next answer that any client got, from the moment that recovery_from names"
)


def row(finding: dict) -> tuple[str, ...]:
    """One line of the table."""
    if "outcomes" not in finding:
        return finding["fault"], finding["outcome"].upper(), "", "", "", ""
    saw = ", ".join(f"{count} {outcome}" for outcome, count in finding["outcomes"].items())
    saw = "; ".join(filter(None, (saw, finding["remark"])))
    seconds = finding["recovery_s"]
    recovery = "" if seconds is None else f"{seconds:.2f} s after {finding['recovery_from']}"
    failed = "" if finding["outcome"] == "passed" else " (TEST FAILED)"
    lost, twice = str(finding["lost"]), str(finding["duplicated"])
    return finding["fault"] + failed, finding["injected"], saw, lost, twice, recovery


if __name__ == "__main__":
    sys.exit(main(tyro.cli(ChaosConfig)))
