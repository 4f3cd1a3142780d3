"""What is wrong with a documented command line, found without running it.

`handover COMMAND` is held against the dataclass that the command parses, other programs of ours
against what they name: make's targets, scripts, modules, extras. `python -m tests.docs.commands`
lists every block that readers run, and the test that runs it.
"""

import ast
import contextlib
import dataclasses
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import tomllib
import tyro
from handover_client.commands.registry import COMMANDS

from .pages import PAGES, ROOT, Block, blocks

RUN = {"bash", "python", "json"}  # languages of blocks that readers run, or give to a command
# Programs of others, whose flags are theirs; their lines are only read.
FOREIGN = set(
    """
    apt-get cat cd chmod cp curl docker docker-compose echo envoy eval export git grpcurl hf kill
    kubectl lerobot-eval lerobot-rollout ln ls mkdir mv ncu nohup nsys nvidia-smi openssl podman ray
    rerun rm rsync scp sleep source ssh sudo systemctl tar tensorboard ulimit wait wscat xdg-open
    """.split()  # noqa: SIM905, a list of words reads better
)
OURS = {"handover", "make", "python", "python3", "python3.11", "torchrun", "pip"}
# Why a line of a block that is run is left out.
OUT_OF_REACH = {r"--cluster ray://": "needs a Ray cluster"}
_ENDS = {"&&", "||", ";", "|", "&"}
_REDIRECTIONS = {">", ">>", "<", "2>", "&>", ">&"}


def lines_of(block: Block) -> Iterator[str]:
    """Give the lines of a block of commands, folded ones in one piece, without comments."""
    if block.language == "bash":
        for line in re.sub(r"\\\n\s*", " ", block.text).splitlines():
            line = re.sub(r"(^|\s+)#.*", "", line).strip()
            if line:
                yield line


def command_lines(block: Block) -> Iterator[list[str]]:
    """Split a block into its commands, each a list of words."""
    for line in lines_of(block):
        yield from _split(line)


def out_of_reach(line: str) -> str:
    """Say why no test can run a line; empty when one can."""
    found = (why for pattern, why in OUT_OF_REACH.items() if re.search(pattern, line))
    return next(found, "")


def unaccounted(block: Block) -> str:
    """Say what is amiss when a block is neither run nor said not to be; empty when nothing is."""
    if block.language in RUN and not block.marker:
        return "no test runs this block: name the one that does, or say why none can"
    if block.language not in RUN | {"text"}:
        for line in block.text.splitlines():
            program = line.removeprefix("$ ").strip().split(" ", 1)[0].rsplit("/", 1)[-1]
            if program in OURS | FOREIGN or program.endswith(".sh"):
                return f"{line!r} looks like a command: mark the block as bash"
    return ""


def _split(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;><")
    lexer.whitespace_split = True
    words: list[str] = []
    redirected = False
    for word in lexer:
        if word in _ENDS:
            yield words
            words, redirected = [], False
        elif word in _REDIRECTIONS:
            redirected = True
        elif not redirected:
            words.append(word)
    if words:
        yield words


def problem(words: list[str]) -> str:
    """Say what is wrong with a command; empty when nothing is."""
    words = [word for word in words if not re.match(r"^[A-Z_]+=", word)]
    if not words or words[0] in FOREIGN:
        return ""
    program = words[0].rsplit("/", 1)[-1]
    if program == "handover":
        return handover_problem(words[1:])
    if program == "make":
        return _make_problem(words[1:])
    if program in ("python", "python3", "python3.11", "torchrun"):
        return _python_problem(words[1:])
    if program == "pip":
        return _pip_problem(words[1:])
    if program.endswith(".sh") or "/" in words[0]:
        return "" if (ROOT / words[0]).exists() else f"there is no {words[0]}"
    return f"{program!r} is no program that the docs' tests know (tests/docs/commands.py)"


def handover_problem(words: list[str]) -> str:
    """Hold a `handover` command line against the dataclass that the command parses.

    A line with an ellipsis may lack flags; the others must be complete.
    """
    if not words or words[0] in ("--help", "--version", "-h", "COMMAND"):
        return ""
    name, *arguments = (word.strip("[]") for word in words)
    if name not in COMMANDS:
        return f"there is no command {name!r}"
    config = COMMANDS[name].load_config()
    if "…" in arguments or "..." in arguments:
        known = flags_of(config)
        unknown = [word for word in arguments if word.startswith("--") and word not in known]
        return f"{name} has no {', '.join(unknown)}" if unknown else ""
    if arguments in (["--help"], ["-h"]):
        return ""
    filled = ["1" if re.fullmatch("[A-Z]", word) else word for word in arguments]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            tyro.cli(config, prog=f"handover {name}", args=filled)
    except SystemExit:
        return " ".join(said.getvalue().split())
    return ""


def flags_of(config: type) -> set[str]:
    """List the flags of a command's dataclass, and of those that are part of it."""
    flags = {"--help"}
    hints = get_type_hints(config)
    for field in dataclasses.fields(config):
        kind = hints[field.name]
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            flags |= flags_of(kind)
        name = field.name.replace("_", "-")
        flags |= {f"--{name}", f"--no-{name}"}
    return flags


def _make_problem(words: list[str]) -> str:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    unknown = [word for word in words if "=" not in word and word not in targets]
    return f"the Makefile has no {', '.join(unknown)}" if unknown else ""


def _python_problem(words: list[str]) -> str:
    """Check that the script or module exists and that its text has the flags."""
    if "-c" in words:
        return ""
    if "-m" in words:
        place = words.index("-m") + 1
        module, arguments = words[place], words[place + 1 :]
        if not module.startswith(("handover_", "tests.", "benchmarks.")):
            return ""
        inside = module.replace(".", "/")
        names = (f"*/{inside}.py", f"{inside}.py", f"*/{inside}/__main__.py")
        files = [file for name in names for file in ROOT.glob(name)]
    else:
        script, *arguments = words
        files = [ROOT / script] if (ROOT / script).exists() else []
    if not files:
        return f"there is no {' '.join(words[:2])}"
    known = _flags_in(files[0])
    unknown = [word for word in arguments if word.startswith("--") and word not in known]
    return f"{files[0].name} has no {', '.join(unknown)}" if unknown else ""


def _flags_in(file: Path) -> set[str]:
    """Read a script's flags from its text: fields of its dataclasses, or argparse's names."""
    if file.name == "finetune.py":
        file = file.with_name("finetuning") / "config.py"
    if file.parent.name == "aloha_mini":
        file = file.with_name("configs.py")
    flags, text = {"--help"}, file.read_text(encoding="utf-8")
    if "\nfrom benchmarks.evaluation import suites\n" in text:
        flags |= _flags_in(file.with_name("suites.py"))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id.replace("_", "-")
            flags |= {f"--{name}", f"--no-{name}"}
        elif isinstance(node, ast.Constant) and str(node.value).startswith("--"):
            flags.add(str(node.value))
    return flags


def _pip_problem(words: list[str]) -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = re.findall(r"\[([\w,]+)\]", " ".join(words))
    unknown = {extra for group in groups for extra in group.split(",")}
    unknown -= set(project["optional-dependencies"])
    return f"pyproject.toml has no extra {', '.join(sorted(unknown))}" if unknown else ""


def main() -> None:
    """List the blocks that readers run: where, which test runs them, what they hold."""
    for page in PAGES:
        for block in blocks(page):
            if block.language not in RUN:
                continue
            print(f"{block.place}  [{unaccounted(block) or f'{block.marker}: {block.note}'}]")
            for line in lines_of(block):
                why = out_of_reach(line)
                print(f"    {line}{f'   [not run: {why}]' if why else ''}")


if __name__ == "__main__":
    main()
