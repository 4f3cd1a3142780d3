"""The README's figures are those of the raw JSON."""

import importlib
import json
import re

import pytest

from .pages import ROOT, links


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("figures")


def test_the_readme_says_what_the_results_say(figures):
    written = figures.README.read_text(encoding="utf-8")
    assert figures.with_figures(written) == written, "run: python docs/figures.py"


def test_another_result_would_change_the_readme(figures, monkeypatch):
    written = figures.README.read_text(encoding="utf-8")
    true_result = figures.result

    def one_success_more(name):
        found = true_result(name)
        if "successes" in found:
            found = {**found, "successes": found["successes"] - 1}
        return found

    monkeypatch.setattr(figures, "result", one_success_more)
    assert figures.with_figures(written) != written


def test_every_result_that_a_page_links_to_is_there_and_tells_its_machine():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for place, target in links(page):
            if re.search(r"benchmarks/results/[\w-]+\.json$", target):
                content = json.loads((page.parent / target).read_text(encoding="utf-8"))
                about = {"machine", "run", "provenance"} & set(content)
                assert about, f"{place}: {target} does not tell where it was made"
