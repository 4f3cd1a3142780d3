"""The table in docs/serving.md is the one of the committed figures."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_documents_table_is_that_of_the_figures():
    before = (ROOT / "docs/serving.md").read_bytes()
    subprocess.run([sys.executable, "-m", "benchmarks.chaos", "--table"], cwd=ROOT, check=True)
    assert (ROOT / "docs/serving.md").read_bytes() == before


def test_every_fault_is_in_the_figures_and_passed():
    findings = json.loads((ROOT / "benchmarks/results/chaos.json").read_text())["findings"]
    assert [each["outcome"] for each in findings] == ["passed"] * len(findings)
    assert sum(each["lost"] + each["duplicated"] for each in findings) == 0
