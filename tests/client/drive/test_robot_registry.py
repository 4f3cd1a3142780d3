"""Robots by name: a package that breaks is one clear error, whatever it breaks with."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from handover_client.drive.robots import registry
from handover_common.errors import HandoverError, MissingExtra, UsageError

ROOT = Path(__file__).parents[3]


def raising(error: Exception):
    def load():
        raise error

    return load


@pytest.mark.parametrize(
    "error", [ImportError("no arm"), AttributeError("no Arm"), ValueError("a bad arm"), OSError(5)]
)
def test_an_entry_point_that_cannot_be_loaded_is_named(monkeypatch, error):
    entry = SimpleNamespace(name="arm", value="arm_package:Arm", load=raising(error))
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    with pytest.raises(HandoverError, match="--robot arm: arm_package:Arm cannot be imported"):
        registry.make_robot("arm", {})


def test_a_missing_extra_says_itself_what_to_install(monkeypatch):
    entry = SimpleNamespace(name="arm", value="a:A", load=raising(MissingExtra("x", "trossen")))
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    with pytest.raises(MissingExtra):
        registry.make_robot("arm", {})


def test_a_module_that_breaks_is_named(tmp_path, monkeypatch):
    (tmp_path / "breaking_arm.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    words = "--robot breaking_arm:Arm: breaking_arm:Arm cannot be imported: ZeroDivisionError"
    with pytest.raises(HandoverError, match=words):
        registry.make_robot("breaking_arm:Arm", {})


def test_what_is_no_robot_is_named(monkeypatch):
    entry = SimpleNamespace(name="arm", value="arm_package:ARM", load=lambda: SimpleNamespace())
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    with pytest.raises(UsageError, match="has no method connect"):
        registry.make_robot("arm", {})


def test_the_readme_names_the_extras_of_every_robot():
    sources = (ROOT / "client/handover_client/drive").rglob("*.py")
    found = re.findall(r'MissingExtra\([^)]*"(\w+)"\)', "".join(map(Path.read_text, sources)))
    assert {"trossen", "lerobot"} <= set(found)
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith("| `handover drive ")]
    for extra in {"sim", *found}:
        assert f"`{extra}`" in row.rpartition(" | ")[2], extra
