"""Every fault and every attack of tests/chaos, one after another, as tables and as JSON.

    make chaos           (or: python -m benchmarks.chaos; extras serve and dev)
    python -m benchmarks.chaos --only attacks
    python -m benchmarks.chaos --only drive    robots under fault (docs/robot.md)
    python -m benchmarks.chaos --table        bring the tables in the pages up to the JSON

Each line is a test. Where one fails, the tables are printed and nothing is written.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import tyro

from benchmarks.harness.docs_table import markdown, write_table
from benchmarks.harness.result_file import FOLDER, write_result

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests" / "chaos"
HEADER = ("fault", "injected", "what clients saw", "lost", "twice", "recovery")
ATTACK_HEADER = (
    *("attack", "done", "MiB before", "at most during", "after"),
    *("innocent p99 before, ms", "during", "answered", "newcomers"),
)

DRIVE_HEADER = ("robot", "fault", "injected", "what it was told", "ended", "outside its limits")


@dataclass(frozen=True)
class ChaosConfig:
    """Try a policy server under fault."""

    table: bool = False
    """Only write the tables of the last results into the pages."""
    only: Literal["faults", "attacks", "drive"] | None = None
    """Run these alone, and write their table."""
    select: str = ""
    """Run the tests that match this pytest expression, and write nothing."""


class FindingCollector:
    """A pytest plugin that keeps what the tests found."""

    def __init__(self) -> None:
        self.findings: list[dict] = []
        self.attacks: list[dict] = []
        self.drives: list[dict] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a test found, passed or not, and every test that failed before it did."""
        if report.when != "call" and not report.failed:
            return
        found: list[object] = [value for name, value in report.user_properties if name == "finding"]
        attacks = [value for name, value in report.user_properties if name == "attack"]
        self.attacks += [{**attack, "outcome": report.outcome} for attack in attacks]
        drives: list[dict] = [
            finding
            for name, value in report.user_properties
            if name == "drive"
            for finding in value
        ]
        self.drives += [{**finding, "outcome": report.outcome} for finding in drives]
        if not found and not attacks and not drives and report.failed:
            found = [{"fault": report.nodeid.rpartition("::")[2]}]
        for finding in found:
            assert isinstance(finding, dict)
            self.findings.append({**finding, "test": report.nodeid, "outcome": report.outcome})


def main(config: ChaosConfig) -> int:
    """Run the faults; returns pytest's exit status."""
    if config.table:
        _write_tables()
        return 0
    collector = FindingCollector()
    arguments = ["-q", "-m", "slow or not slow", "-p", "no:cacheprovider"]
    apart = {
        "attacks": str(TESTS / "test_attacks.py"),
        "drive": str(TESTS / "test_drive_faults.py"),
    }
    arguments += [apart.get(config.only or "", str(TESTS))]
    arguments += ["--ignore", str(TESTS / "test_table.py")]  # that is about the last run
    if config.only == "faults":
        arguments += [word for path in apart.values() for word in ("--ignore", path)]
    arguments += ["-k", config.select] if config.select else []
    status = int(pytest.main(arguments, plugins=[collector]))
    print(markdown(HEADER, map(row, collector.findings)))
    print(markdown(ATTACK_HEADER, map(attack_row, collector.attacks)))
    print(markdown(DRIVE_HEADER, map(drive_row, collector.drives)))
    if status == 0 and not config.select:
        if config.only in (None, "faults"):
            print(write_result("chaos", {"what": WHAT, "findings": collector.findings}))
        if config.only in (None, "attacks"):
            print(write_result("attacks", {"what": WHAT_ATTACKS, "findings": collector.attacks}))
        if collector.drives:  # of robots that this machine has; the others' stay
            ran = {finding["robot"] for finding in collector.drives}
            path = FOLDER / "drive_faults.json"
            kept = _read("drive_faults") if path.exists() else []
            drives = [finding for finding in kept if finding["robot"] not in ran]
            drives += collector.drives
            print(write_result("drive_faults", {"what": WHAT_DRIVE, "findings": drives}))
        _write_tables()
    return status


def _read(name: str) -> list[dict]:
    return json.loads((FOLDER / f"{name}.json").read_text())["findings"]


def _write_tables() -> None:
    write_table("chaos", markdown(HEADER, map(row, _read("chaos"))))
    write_table("attacks", markdown(ATTACK_HEADER, map(attack_row, _read("attacks"))))
    drives = markdown(DRIVE_HEADER, map(drive_row, _read("drive_faults")))
    write_table("drive_faults", drives, ROOT / "docs" / "robot.md")


WHAT = (
    "faults under load; every request has a sequence. lost: its caller had neither answer nor "
    "error 10 s after its deadline. duplicated: the server answered its sequence twice. recovery: "
    "to the next answer that any client got, from the moment that recovery_from names"
)

WHAT_ATTACKS = (
    "attacks of 20 s each on a server of its own (aloha-mini), beside an innocent client that asks "
    "40 times a second; server and client share all cores but the last, which the attackers have "
    "to themselves; resident memory of the server in MiB; after: once it is back within "
    "32 MiB, or a minute later; p99 of the innocent client in ms; stop_s: from SIGTERM to the "
    "server's end with --drain-s 3"
)

WHAT_DRIVE = (
    "handover drive under faults, an episode for each, on gym-aloha (sim) and on two simulated "
    "WidowX AI arms (trossen); told: when commands followed the policy and when the robot held; "
    "outside: commands beyond the limits of position, velocity or acceleration; steps: what the "
    "joint that moved most was told"
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


def attack_row(finding: dict) -> tuple[str, ...]:
    """One line of the table of attacks."""
    name = finding["attack"] + ("" if finding["outcome"] == "passed" else " (TEST FAILED)")
    came = {outcome: n for outcome, n in finding["attacked"].items() if "newcomer" in outcome}
    asked = sum(finding["attacked"].values()) - sum(came.values())
    figures = ("before_mib", "during_mib", "after_mib")
    return (
        *(name, finding["done"], *(f"{finding[figure]:.0f}" for figure in figures)),
        *(f"{finding['calm_p99_ms']:.1f}", f"{finding['attacked_p99_ms']:.1f}"),
        f"{finding['attacked'].get('answered', 0)} of {asked}",
        f"{came.get('newcomer', 0)} of {sum(came.values())}",
    )


def drive_row(finding: dict) -> tuple[str, ...]:
    """One line of the table of robots under fault."""
    failed = "" if finding["outcome"] == "passed" else " (TEST FAILED)"
    names = ("injected", "told", "ended", "outside")
    return finding["robot"], finding["fault"] + failed, *(str(finding[name]) for name in names)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(ChaosConfig)))
