"""Every attack of tests/chaos/attacks: its cost in memory, and the innocent client beside it."""

import dataclasses
import importlib
from pathlib import Path

import pytest

from .attacks.arena import BACK_MIB, MORE_MIB, fight

FOLDER = Path(__file__).with_name("attacks")
MODULES = sorted(file.stem for file in FOLDER.glob("*.py") if "\nATTACK = " in file.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_an_attack_is_bounded_and_the_innocent_client_is_answered(module, record_property):
    attack = importlib.import_module(f".attacks.{module}", __package__).ATTACK
    finding = fight(module, attack)
    record_property("attack", dataclasses.asdict(finding))
    assert finding.during_mib <= finding.before_mib + MORE_MIB
    assert finding.after_mib <= finding.before_mib + BACK_MIB
    assert finding.attacked["answered"] > 0
