"""Every command that the documentation shows exists, with the flags that it is shown with."""

import re
import shlex
from functools import cache

import pytest
from handover_client.commands.registry import COMMANDS

from .commands import command_lines, flags_of, handover_problem, problem, unaccounted
from .pages import PAGES, ROOT, Block, blocks, code_spans

ALL_BLOCKS = [block for page in PAGES for block in blocks(page)]
CODE = ("benchmarks", "client", "conversion", "envs", "model", "server", "tests", "training")
LOGS = ("RESULTS.md", "CHANGELOG.md")  # tell of what was, with the flags of then


def name_of(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=lambda block: block.place)
def test_a_documented_command_is_one_that_exists(block):
    problems = [said for words in command_lines(block) if (said := problem(words))]
    assert not problems, f"{block.place}: {problems}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_command_inside_a_sentence_has_the_flags_that_it_is_given(page):
    for place, span in code_spans(page):
        if span.startswith("handover "):
            said = handover_problem([word.rstrip(",.;:") for word in [*span.split()[1:], "…"]])
            assert not said, f"{place}: `{span}`: {said}"


@pytest.mark.parametrize("page", [p for p in PAGES if p.name not in LOGS], ids=name_of)
def test_a_flag_inside_a_sentence_is_a_flag_of_something(page):
    for place, span in code_spans(page):
        if re.match(r"--[a-z]", span):
            assert re.split(r"[ =]", span)[0] in known_flags(), f"{place}: `{span}`"


@cache
def known_flags():
    """Every flag that a command takes, or that stands in some file which is not documentation."""
    flags = set().union(*(flags_of(command.load_config()) for command in COMMANDS.values()))
    files = [file for folder in CODE for file in (ROOT / folder).rglob("*.*")]
    for file in [*files, ROOT / "Makefile", *ROOT.glob("docker-compose*.yml")]:
        if file.suffix in ("", ".py", ".sh", ".yml", ".toml") and file.is_file():
            text = file.read_text(encoding="utf-8")
            flags |= set(re.findall(r"--[a-z][\w-]+", text))
            fields = re.findall(r"^    (\w+):", text, re.MULTILINE)
            flags |= {f"--{name.replace('_', '-')}" for name in fields}
    return flags


def test_every_command_stands_in_the_readmes_table():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [name for name in COMMANDS if f"| `handover {name} " not in page]
    assert not missing, f"the README's table of commands lacks {missing}"


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=lambda block: block.place)
def test_a_block_that_readers_run_is_run_by_a_test_or_says_why_not(block):
    assert not unaccounted(block), f"{block.place}: {unaccounted(block)}"


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=lambda block: block.place)
def test_what_runs_a_block_names_its_page_or_its_commands(block):
    if block.marker == "run":
        program = (ROOT / block.note).read_text(encoding="utf-8")
        named = block.page.name in program
        targets = [words[1] for words in command_lines(block) if words[0] == "make"]
        called = [re.search(rf"make {target}(-short)?$", program, re.M) for target in targets]
        assert named or (called and all(called)), f"{block.place}: not by {block.note}"


@pytest.mark.parametrize(
    ("language", "marker", "text", "said"),
    [
        ("bash", "", "handover info --server HOST:PORT", "no test runs this block"),
        ("python", "", "import handover_client", "no test runs this block"),
        ("json", "", "{}", "no test runs this block"),
        ("", "", "handover info --server HOST:PORT", "looks like a command"),
        ("", "", "some output\n$ docker compose up", "looks like a command"),
        ("", "", "server/make_secrets.sh now", "looks like a command"),
        ("bash", "run", "handover info --server HOST:PORT", ""),
        ("bash", "not run", "kubectl get pods", ""),
        ("", "", "robot ─▶ server", ""),
    ],
)
def test_a_new_block_would_have_to_account_for_itself(language, marker, text, said):
    found = unaccounted(Block(ROOT / "README.md", 1, language, text, marker, "x"))
    assert said in found
    assert bool(said) == bool(found)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("handover fly", "there is no command 'fly'"),
        ("handover serve --checkpont DIR …", "serve has no --checkpont"),
        ("handover rollout --server HOST:PORT --output DIR --task dance", "invalid choice"),
        ("handover info", "--server"),
        ("make coffee", "the Makefile has no coffee"),
        ('pip install "handover[moon]"', "no extra moon"),
        ("python benchmarks/nothing.py", "there is no benchmarks/nothing.py"),
        ("python -m benchmarks.serving.transport --sped 1", "transport.py has no --sped"),
        ("python -m handover_training.aloha_mini random --sed 1", "__main__.py has no --sed"),
        ("mystery --now", "'mystery' is no program"),
    ],
)
def test_a_wrong_command_would_be_found(line, said):
    assert said in problem(shlex.split(line))
