"""Every command names its extra in one line where the extra's packages are not installed."""

import subprocess
import sys

import pytest
from handover_client.commands.registry import COMMANDS

# command -> a line that makes sense, and a package that only its extra brings
LINES = {
    "record": ("mujoco", "--task transfer_cube --output out"),
    "convert": ("pyarrow", "--source here --output out"),
    "finetune": ("torch", "--dataset-path here"),
    "serve": ("grpc_health", "--policy hold"),
    "replay": ("pyarrow", "--server 127.0.0.1:1 --dataset-path here --output out"),
    "rollout": ("mujoco", "--policy scripted --output out"),
}
BLOCKED = """
import sys
sys.modules[{package!r}] = None  # as Python remembers a package that is not there
from handover_client.commands.main import run
sys.exit(run({words!r}))
"""


@pytest.mark.parametrize("name", list(LINES))
def test_a_missing_package_is_one_line_with_the_extra(name, tmp_path):
    package, flags = LINES[name]
    program = BLOCKED.format(package=package, words=[name, *flags.split()])
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert f'pip install -e ".[{COMMANDS[name].extra}]"' in done.stderr
    assert not list(tmp_path.iterdir())
