"""Links between the pages lead somewhere, and every page is reached from the README."""

import pytest

from .pages import PAGES, ROOT, anchors, links

IDS = [str(page.relative_to(ROOT)) for page in PAGES]


def local_links(page):
    for place, target in links(page):
        if not target.startswith(("http://", "https://", "mailto:")):
            path, _, anchor = target.partition("#")
            yield place, target, (page.parent / path).resolve() if path else page, anchor


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_relative_link_leads_to_a_file_and_a_heading(page):
    for place, target, path, anchor in local_links(page):
        assert path.exists(), f"{place}: {target} leads nowhere"
        assert path.is_relative_to(ROOT), f"{place}: {target} leaves the repository"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{place}: {path.name} has no heading #{anchor}"


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            for _, _, path, _ in local_links(page):
                waiting += [path] if path.suffix == ".md" else path.glob("*.md")
    missing = [str(page.relative_to(ROOT)) for page in PAGES if page not in reached]
    assert not missing, f"no link leads to {missing}"


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_a_page_links_to_others(page):
    others = [target for _, target, path, _ in local_links(page) if path != page]
    assert others, f"{page.name} leads nowhere: link what to read next"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_page_has_no_leftovers_of_a_merge(page):
    marks = ("<<<<<<< ", "=======", ">>>>>>> ")
    lines = page.read_text(encoding="utf-8").splitlines()
    left = [number for number, line in enumerate(lines, 1) if line.startswith(marks)]
    assert not left, f"{page.name}: lines {left}"
