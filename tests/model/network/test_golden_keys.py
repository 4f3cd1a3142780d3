"""The network's weights against the list of the published checkpoint's."""

import pytest
from handover_model.network.config import parse_config
from handover_model.network.eagle_config import EagleConfig, parse_eagle
from handover_model.network.groot import build_empty, unused_shapes

from .. import golden

pytestmark = pytest.mark.golden
CASES = golden.cases("keys_n1d6_3b.json")


def shapes_of(config: dict) -> dict[str, tuple[int, ...]]:
    network = build_empty(parse_config(config), EagleConfig())
    shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    return {**shapes, **unused_shapes(EagleConfig())}


def published_config(listed: dict) -> dict:
    """The code's defaults, with the widths of the published checkpoint's tensors."""
    shapes = listed["keys_whose_shape_depends_on_max_state_or_action_dim"]
    state = shapes["action_head.state_encoder.layer1.W"]["published"][1]
    action = shapes["action_head.action_encoder.W1.W"]["published"][1]
    return {**listed["code_default_config"], "max_state_dim": state, "max_action_dim": action}


@pytest.mark.parametrize("case", CASES)
def test_every_published_key_is_found_and_none_is_left_over(case):
    listed = golden.read(case)
    got = shapes_of(published_config(listed))
    want = {key: tuple(shape) for key, shape, _ in listed["state_dict"]}
    assert sorted(set(want) - set(got)) == []
    assert sorted(set(got) - set(want)) == []
    assert got == want


@pytest.mark.parametrize("case", CASES)
def test_shapes_with_the_default_widths(case):
    listed = golden.read(case)
    got = shapes_of(listed["code_default_config"])
    changed = listed["keys_whose_shape_depends_on_max_state_or_action_dim"]
    for key, shapes in changed.items():
        assert got[key] == tuple(shapes["code_default"])


@pytest.mark.parametrize("case", CASES)
def test_the_mask_token_exists_only_with_state_dropout(case):
    listed = golden.read(case)
    plain = shapes_of(listed["code_default_config"])
    dropping = shapes_of({**listed["code_default_config"], "state_dropout_prob": 0.2})
    added = {
        entry["key"]: tuple(entry["shape"])
        for entry in listed["keys_added_when_state_dropout_prob_gt_0"]
    }
    assert dropping == {**plain, **added}


@pytest.mark.parametrize("case", CASES)
def test_the_defaults_are_those_of_the_code(case):
    listed = golden.read(case)
    assert parse_config(listed["code_default_config"]).to_json() == {
        **parse_config({}).to_json(),
        **listed["code_default_config"],
    }
    assert parse_eagle(listed["packaged_eagle_config"], "packaged") == EagleConfig()
    unused = tuple(listed["unused_keys_prefixes"])
    assert all(key.startswith(unused) for key in unused_shapes(EagleConfig()))
