"""The tables that benchmarks write into the pages are those of the committed figures."""

import importlib
import json

import pytest

from .pages import ROOT


@pytest.fixture
def benchmark_module(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module


@pytest.mark.parametrize("name", ["load", "transport"])
def test_the_table_is_that_of_the_figures(benchmark_module, name):
    benchmark = benchmark_module(f"benchmarks.serving.{name}")
    docs_table = benchmark_module("benchmarks.harness.docs_table")
    figures = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text(encoding="utf-8"))
    page = docs_table.DOCS.read_text(encoding="utf-8")
    placed = f"<!-- {name}.json -->\n{benchmark.page_part(figures)}\n<!-- end of {name}.json -->"
    assert placed in page, f"run: python -m benchmarks.serving.{name} --table"


def test_the_table_of_evaluations_that_stop_is_that_of_the_figures(benchmark_module):
    benchmark = benchmark_module("benchmarks.evaluation.sequential")
    figures = json.loads((ROOT / "benchmarks/results/sequential.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs/closed_loop.md").read_text(encoding="utf-8")
    table = benchmark.page_part(figures)
    assert f"<!-- sequential.json -->\n{table}\n<!-- end of sequential.json -->" in page
    for row in figures["rows"]:
        if "saved" not in row:
            assert row["decided"] <= figures["error"], "more false decisions than promised"


def test_the_table_of_latencies_is_that_of_the_figures(benchmark_module):
    pytest.importorskip("mujoco", reason="needs the extra 'sim'")
    benchmark = benchmark_module("benchmarks.evaluation.latency")
    results = benchmark_module("benchmarks.evaluation.suites").read_results("latency")
    if not results:
        pytest.skip("the suites have not been played: the page has an older table")
    page = benchmark.PAGE.read_text(encoding="utf-8")
    part = benchmark.page_part(results)
    assert f"<!-- latency.json -->\n{part}\n<!-- end of latency.json -->" in page
    drawn = next((each["joint"] for each in results.values() if each["joint"]), None)
    if drawn:
        assert benchmark.PLOT.read_text(encoding="utf-8") == benchmark.draw(drawn)


def test_the_table_of_changed_worlds_is_that_of_the_figures(benchmark_module):
    pytest.importorskip("mujoco", reason="needs the extra 'sim'")
    benchmark = benchmark_module("benchmarks.evaluation.robustness")
    results = benchmark_module("benchmarks.evaluation.suites").read_results("robustness")
    if not results:
        pytest.skip("the suites have not been played")
    page = benchmark.PAGE.read_text(encoding="utf-8")
    part = benchmark.page_part(results)
    assert f"<!-- robustness.json -->\n{part}\n<!-- end of robustness.json -->" in page
