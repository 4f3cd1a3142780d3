"""What is distributed: the wheel and sdist are built, and the wheel's base drives a robot.

Needs the package index, as `make env` does, and makes a fresh environment: some minutes.
"""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow

PACKAGES = ("common", "proto", "model", "conversion", "training", "server", "client", "envs")
ROBOT = """
import numpy as np

class Robot:
    commands = []

    def read(self):
        return np.zeros(14, np.float32), np.full((480, 640, 3), 90, np.uint8)

    def command(self, target):
        self.commands.append(np.asarray(target))

robot = Robot()
task = "Pick up the cube with the right arm and transfer it to the left arm."
control(robot, ADDRESS, task, chunks=2)
assert robot.commands and all(target.shape == (14,) for target in robot.commands)
print("commands", len(robot.commands))
"""


def run(*command: object, **told) -> subprocess.CompletedProcess:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=280, **told)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (found,) = built.glob("handover_robotics-*-py3-none-any.whl")
    return found


@pytest.fixture(scope="module")
def fresh(wheel, tmp_path_factory) -> Path:
    """The programs of an environment that has the wheel's base and nothing else."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    run(sys.executable, "-m", "venv", folder)
    constraints = ROOT / "client/constraints.txt"
    run(folder / "bin/pip", "install", "-q", "-c", constraints, wheel)
    return folder / "bin"


def test_the_wheel_has_every_package_with_its_types_and_data(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for role in PACKAGES:
        assert f"handover_{role}/__init__.py" in names
        assert f"handover_{role}/py.typed" in names
        files = (ROOT / role / f"handover_{role}").rglob("*")
        ours = {file.relative_to(ROOT / role).as_posix() for file in files if file.is_file()}
        assert {name for name in ours if "__pycache__" not in name} <= set(names)
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "checkpoints"))]


def test_the_sdist_holds_what_builds_and_explains_it(built):
    (sdist,) = built.glob("handover_robotics-*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE"} <= inside
    assert not [name for name in inside if name.startswith((".venv", "runs", "data/"))]


def test_the_base_has_the_command_and_says_how_to_get_more(fresh):
    assert "--server" in run(fresh / "handover", "info", "--help", cwd="/").stdout
    refused = subprocess.run(
        [fresh / "handover", "serve", "--policy", "hold"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
    )
    assert refused.returncode == 1
    assert 'pip install -e ".[serve]"' in refused.stderr
    assert 'py3-none-any.whl[serve]"' in refused.stderr
    assert "pip install handover" not in refused.stderr


def test_the_pages_control_loop_drives_a_robot_from_the_base(fresh, server_address, tmp_path):
    page = (ROOT / "docs/python-client.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    (loop,) = (block for block in blocks if "def control(" in block)
    program = tmp_path / "robot.py"
    program.write_text(f"{loop}\nADDRESS = {server_address!r}\n{ROBOT}", encoding="utf-8")
    assert "commands" in run(fresh / "python", program, cwd=tmp_path).stdout
