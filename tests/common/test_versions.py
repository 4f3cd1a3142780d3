"""Versions are looked up in one way, and this project by the one name that is ours."""

from importlib import metadata

import pytest
from handover_common import NOT_INSTALLED, MissingExtra, package_version, package_versions


def test_a_package_has_its_version_and_a_missing_one_none():
    assert package_version("numpy") == metadata.version("numpy")
    assert package_version("no-such-package") is None
    assert package_versions(["numpy", "no-such-package"]) == {
        "numpy": metadata.version("numpy"),
        "no-such-package": NOT_INSTALLED,
    }


def test_handover_is_this_project_and_not_that_of_the_index(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: f"version of {name}")
    assert package_version("handover") == "version of handover-robotics"


def test_a_missing_extra_says_what_to_do_without_a_name_that_is_not_ours():
    with pytest.raises(MissingExtra) as raised:
        raise MissingExtra("torch", "train")
    line = str(raised.value)
    assert 'pip install -e ".[train]" in a clone' in line
    assert 'pip install "handover_robotics-VERSION-py3-none-any.whl[train]"' in line
    assert "install handover" not in line.replace("handover_robotics", "")
