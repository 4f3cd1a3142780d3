"""Units are told where a description or the dataset states them, and nowhere else."""

import json

import numpy as np
from handover_conversion.groot import GrootDataset, stated_units

from .. import sources


def _converted(tmp_path, convert, **choices):
    joints = np.abs(sources.smooth(40, 14, 50))
    source = sources.write_v2(
        tmp_path / "source", {0: {"observation.state": joints, "action": joints}}
    )
    return convert(source, image_size=32, horizon=4, **choices)


def test_alohas_description_states_its_units(tmp_path, convert):
    units = stated_units(GrootDataset.open(_converted(tmp_path, convert)))
    assert units["left_arm"] == "rad"
    assert units["left_hand"] == "1 (0 closed, 1 open)"


def test_a_description_without_units_states_none(tmp_path, convert):
    output = _converted(tmp_path, convert, robot="identity")
    assert stated_units(GrootDataset.open(output)) == {}


def test_a_modality_may_state_units_and_must_not_contradict_itself(tmp_path, convert):
    output = _converted(tmp_path, convert, robot="identity")
    path = output / "meta/modality.json"
    modality = json.loads(path.read_text())
    modality["state"]["joints"]["unit"] = "deg"
    path.write_text(json.dumps(modality))
    assert stated_units(GrootDataset.open(output)) == {"joints": "deg"}
    modality["action"]["joints"]["unit"] = "rad"
    path.write_text(json.dumps(modality))
    assert stated_units(GrootDataset.open(output)) == {}
