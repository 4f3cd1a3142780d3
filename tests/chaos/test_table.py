"""The tables in the pages are those of the committed figures."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_documents_tables_are_those_of_the_figures():
    pages = [ROOT / "docs/serving.md", ROOT / "docs/robot.md"]
    before = [page.read_bytes() for page in pages]
    subprocess.run([sys.executable, "-m", "benchmarks.chaos", "--table"], cwd=ROOT, check=True)
    assert [page.read_bytes() for page in pages] == before


def test_every_fault_is_in_the_figures_and_passed():
    findings = json.loads((ROOT / "benchmarks/results/chaos.json").read_text())["findings"]
    assert [each["outcome"] for each in findings] == ["passed"] * len(findings)
    assert sum(each["lost"] + each["duplicated"] for each in findings) == 0


def test_every_robot_under_fault_stayed_within_its_limits():
    findings = json.loads((ROOT / "benchmarks/results/drive_faults.json").read_text())["findings"]
    assert {each["robot"] for each in findings} == {"sim", "trossen"}
    assert [(each["outcome"], each["outside"]) for each in findings] == [("passed", 0)] * len(
        findings
    )
