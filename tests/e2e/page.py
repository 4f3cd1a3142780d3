"""A page's blocks, run line by line in a folder in which the names that the page uses mean things.

Programs are found as a user has them: `handover`, `python` and `torchrun` choose the environment
that the command belongs to. A `handover serve` line takes a free port and serves until its block
ends; what follows in the block asks that server.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from ..docs.commands import lines_of, out_of_reach
from ..docs.pages import ROOT, Block, blocks
from .conftest import wait_for_address

_TEST = "tests/e2e/test_pages.py"
_ADDRESS = re.compile(r"HOST:PORT|127\.0\.0\.1:50051|gpu-host:50051")
# $SHORT_COMMAND: flags that make a command short, in place of the page's: a flag that
# stands twice is refused
_SHORTEN = """
shorten() {
    short=" $1 " kept=() dropped=
    shift
    for one in "$@"; do
        case "$one" in --*) dropped=; [[ "$short" == *" ${one%%=*} "* ]] && dropped=1 ;; esac
        [[ $dropped ]] || kept+=("$one")
    done
}
"""
_PROGRAMS = {
    "handover": """
        name="SHORT_${1//-/_}"
        case "$1" in convert|finetune|serve) home="$SERVER" ;; *) home="$SIM" ;; esac
        shorten "${!name-}" "$@"
        exec "$home/bin/handover" "${kept[@]}" $short""",
    "python": """
        case "$*" in *handover_model*|*handover_training*) home="$SERVER" ;; *) home="$SIM" ;; esac
        shorten "${SHORT_python-}" "$@"
        exec "$home/bin/python" "${kept[@]}" $short""",
    "torchrun": """
        shorten "${SHORT_finetune}" "${@/#--nproc_per_node=4/--nproc_per_node=2}"
        exec "$SERVER/bin/torchrun" "${kept[@]}" $short
        """,
}


@dataclass
class Terminal:
    """A folder to work in, the programs of both environments, and what the page's names mean."""

    folder: Path
    server: Path  # the environments
    sim: Path
    address: str = ""  # of the server that HOST:PORT means
    short: Mapping[str, str] = field(default_factory=dict)  # {command: flags that make it short}
    names: dict[str, str] = field(default_factory=dict)  # {what a page says: what to put there}

    def __post_init__(self) -> None:
        programs = self.folder / ".programs"
        programs.mkdir()
        for name, text in _PROGRAMS.items():
            (programs / name).write_text(f"#!/usr/bin/env bash\n{_SHORTEN}{text}\n")
            (programs / name).chmod(0o755)
        for name in (".venv-server", ".venv-sim"):
            home = self.server if name == ".venv-server" else self.sim
            (self.folder / name).symlink_to(home)

    def link(self, **things: Path) -> None:
        """Give names to folders: what a page calls DATASET is then a real one."""
        for name, path in things.items():
            self.place(name, path)

    def place(self, name: str, path: Path) -> None:
        """Have a path of the page, such as lerobot/some_dataset, lead to a folder that is there."""
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).symlink_to(path)

    def run_page(self, page: str) -> dict[str, str]:
        """Run each block of a page that is this test's: {line: what it printed}."""
        said: dict[str, str] = {}
        for block in blocks(ROOT / page):
            if block.note == _TEST:
                said |= self.run(block)
        assert said, f"{page} has no block that {_TEST} runs"
        return said

    def run(self, block: Block) -> dict[str, str]:
        """Run a block: every line has to end well. One of Python is a file that it names."""
        if block.language == "python":
            (self.folder / block.text.split()[1]).write_text(block.text)
        if block.language == "json":
            (self.folder / "so100.json").write_text(block.text)
        said, before = {}, self.address
        with ExitStack() as servers:
            for line in lines_of(block):
                if line.startswith("handover serve"):
                    servers.close()
                    self.address = servers.enter_context(self.serving(line))
                    said[line] = self.address
                elif not out_of_reach(line):
                    said[line] = self.run_line(line)
        self.address = before
        return said

    def run_line(self, line: str) -> str:
        """Run one line; returns what it printed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._meant(line)],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def serving(self, line: str) -> "Served":
        """Start a server by its line: a context that gives its address."""
        return Served(self._meant(line), self.folder, self._environment())

    def _meant(self, line: str) -> str:
        for name, meaning in self.names.items():
            line = line.replace(name, meaning)
        return _ADDRESS.sub(self.address, line)

    def _environment(self) -> dict[str, str]:
        programs = self.folder / ".programs"
        return {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "SERVER": str(self.server),
            "SIM": str(self.sim),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",  # what is not here is an error, never a download
            **{f"SHORT_{command}": flags for command, flags in self.short.items()},
        }


class Served:
    """A server that a page's line started; it has to end with 0 when it is told to."""

    def __init__(self, line: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._line, self._folder, self._environment = line, folder, environment

    def __enter__(self) -> str:
        self.log = self._folder / "serve.log"
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [shutil.which("bash") or "bash", "-euc", f"exec {self._line} --port 0"],
                cwd=self._folder,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        address = wait_for_address(self.process, self.log)
        return address.replace("0.0.0.0", "127.0.0.1")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=180)
        finally:
            self.process.kill()
            self.process.wait(timeout=60)
        assert kind or status == 0, self.log.read_text()
