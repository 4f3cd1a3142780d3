"""The arrows between the packages, read from their imports; and what importing a package loads."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROLES = ("proto", "model", "conversion", "training", "server", "client", "envs")
ANYWHERE = None  # an arrow from the whole package

# (importing role, its module or ANYWHERE) -> the roles that it may import
ARROWS: dict[tuple[str, str | None], set[str]] = {
    ("proto", ANYWHERE): set(),
    ("model", ANYWHERE): {"proto"},
    ("conversion", ANYWHERE): {"proto"},
    ("training", ANYWHERE): {"model", "conversion", "proto"},
    ("server", ANYWHERE): {"model", "proto"},
    ("server", "replay_policy"): {"conversion"},  # it plays a dataset's recordings back
    ("client", ANYWHERE): {"proto"},
    ("client", "open_loop"): {"conversion"},
    ("client", "closed_loop"): {"envs", "conversion"},
    ("client", "lessons"): {"envs"},  # a policy's own mistakes, for training
    ("envs", ANYWHERE): {"proto", "conversion"},
}


def modules_of(role: str) -> list[Path]:
    package = ROOT / role / f"handover_{role}"
    return sorted(path for path in package.rglob("*.py") if "_pb2" not in path.name)


def imported_roles(source: str) -> set[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.append(node.module or "")
    return {
        name.split(".")[0].removeprefix("handover_")
        for name in names
        if name.startswith("handover_")
    }


@pytest.mark.parametrize("role", ROLES)
def test_a_package_imports_only_what_it_points_to(role):
    modules = modules_of(role)
    assert modules, f"{role} has no modules: has the layout moved?"
    for path in modules:
        allowed = {role} | ARROWS[role, ANYWHERE] | ARROWS.get((role, path.stem), set())
        strangers = imported_roles(path.read_text()) - allowed
        assert not strangers, f"{path.relative_to(ROOT)} imports handover_{strangers}"


def test_the_arrow_check_sees_imports_wherever_they_stand():
    source = (
        "def f():\n    from handover_server.serve.command import main\nimport handover_model.policy"
    )
    assert imported_roles(source) == {"server", "model"}


@pytest.mark.parametrize("role", ROLES)
def test_importing_a_package_loads_nothing_heavy(role):
    heavy = [
        "torch",
        "transformers",
        "mujoco",
        "dm_control",
        "gym_aloha",
        "pyarrow",
        "av",
        "matplotlib",
        "cv2",
    ]
    program = (
        f"import sys, handover_{role}; print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=180, check=True
    )
    assert done.stdout.strip() == "[]"
