"""A package's face: its names are listed once, and each loads its own module alone."""

import importlib
import sys

import pytest
from handover_common.faces import read_face

FACE = """
from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from made_up_house.kitchen import cook
    from made_up_house.cellar import (
        Barrel,
        Wine,
    )

__getattr__, __dir__ = lazy(__name__, __file__)
"""


@pytest.fixture
def house(tmp_path, monkeypatch):
    folder = tmp_path / "made_up_house"
    folder.mkdir()
    (folder / "__init__.py").write_text(FACE)
    (folder / "kitchen.py").write_text("def cook(): return 'soup'")
    (folder / "cellar.py").write_text("class Barrel: ...\nclass Wine: ...")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("made_up_house")
    for name in [name for name in sys.modules if name.startswith("made_up_house")]:
        del sys.modules[name]


def test_a_name_loads_its_own_module_alone(house):
    assert not [name for name in sys.modules if name.startswith("made_up_house.")]
    assert house.cook() == "soup"
    assert "made_up_house.kitchen" in sys.modules
    assert "made_up_house.cellar" not in sys.modules
    assert house.Wine is sys.modules["made_up_house.cellar"].Wine


def test_a_face_lists_its_names(house):
    assert {"cook", "Barrel", "Wine"} <= set(dir(house))
    assert read_face(FACE) == {
        "cook": "made_up_house.kitchen",
        "Barrel": "made_up_house.cellar",
        "Wine": "made_up_house.cellar",
    }


def test_a_name_that_it_does_not_offer_is_an_attribute_error(house):
    with pytest.raises(AttributeError, match="'made_up_house' has no attribute 'attic'"):
        _ = house.attic
