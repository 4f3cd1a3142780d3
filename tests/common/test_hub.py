"""Hub names and folders are told apart, and the hub's faults are one line."""

import sys

import pytest
from handover_common import HubError, MissingExtra, fetch, is_hub_name, resolve


def test_a_local_folder_is_taken_as_it_is(tmp_path):
    assert resolve(tmp_path) == tmp_path
    assert resolve(str(tmp_path)) == tmp_path


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("nvidia/GR00T-N1.6-3B", True),
        ("me/my_set.v2", True),
        ("set", False),
        ("./set", False),
        ("~/set", False),
        ("/tmp/set", False),
        ("a/b/c", False),
        ("a/b\n", False),
    ],
)
def test_a_hub_name_is_an_organization_and_a_name(name, is_one):
    assert is_hub_name(name) is is_one


@pytest.mark.parametrize("name", ["no-such-folder", "./a/b", "a/b/c", "/tmp/none", ""])
def test_what_is_neither_folder_nor_hub_name_is_refused(name):
    if name == "":
        name = "\n"
    with pytest.raises(HubError, match=r"nvidia/GR00T-N1\.6-3B"):
        resolve(name)


def test_a_hub_name_offline_says_what_to_do(monkeypatch, tmp_path):
    constants = pytest.importorskip("huggingface_hub.constants", reason="not installed here")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(HubError, match="someone/never-published"):
        resolve("someone/never-published")


def test_without_the_hubs_package_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match="'convert'"):
        fetch("someone/something", files=["*"], extra="convert")


def test_what_the_hub_says_becomes_one_line(monkeypatch):
    hub = pytest.importorskip("huggingface_hub", reason="not installed here")

    def fail(*_, **__):
        raise OSError("first line\n  second line")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(HubError) as raised:
        fetch("someone/something", files=["*"])
    assert str(raised.value) == "someone/something could not be downloaded: first line"


def test_it_is_asked_for_these_files_within_a_deadline(monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub", reason="not installed here")
    asked = {}

    def answer(name, **choices):
        asked.update(choices, name=name)
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", answer)
    found = fetch("someone/something", files=["a.json"], revision="v1", kind="dataset")
    assert found == tmp_path
    assert asked == {
        "name": "someone/something",
        "repo_type": "dataset",
        "revision": "v1",
        "allow_patterns": ["a.json"],
        "etag_timeout": 10.0,
    }
