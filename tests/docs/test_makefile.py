"""What the Makefile says to a machine that lacks what it needs."""

import os
import shutil
import subprocess

import pytest

from .pages import ROOT


@pytest.mark.parametrize("python", ["", "/nowhere/python3", "false"])
def test_without_python_3_11_make_env_says_what_to_install(tmp_path, python):
    for name in ("Makefile", "pyproject.toml", "server/constraints.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    command = ["make", ".venv-server/.ready", f"PYTHON={python}"]
    # `make test` is a make already, and has flags of its own
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    made = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert made.returncode == 2
    said = made.stderr.splitlines()[0]
    assert said.startswith("make env needs Python 3.11 with venv")
    assert not (tmp_path / ".venv-server").exists()
