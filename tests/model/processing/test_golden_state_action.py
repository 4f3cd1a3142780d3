"""Normalization, padding and statistics against what NVIDIA's code computed."""

from pathlib import Path
from typing import Any

import pytest
from handover_model.processing.modality import parse_modality_config
from handover_model.processing.padding import cut_action, pad_action, pad_state
from handover_model.processing.state_action import NormalizeOptions, StateActionCodec
from handover_model.processing.statistics import (
    EmbodimentStatistics,
    merge_statistics,
    parse_statistics,
    slice_statistics,
    statistics_json,
)

from .. import golden

pytestmark = pytest.mark.golden
NORMALIZED_ATOL = 1e-6
DECODED_ATOL, DECODED_RTOL = 1e-6, 1e-5
STATE_ACTION = golden.FOLDER / "processor" / "state_action"
PADDING = golden.FOLDER / "processor" / "padding"


def listed(folder: Path) -> list[Any]:
    path = folder / "cases.json"
    if not path.is_file():
        skip = pytest.mark.skip(reason=f"no golden file {path} (set HANDOVER_GOLDEN)")
        return [pytest.param({}, marks=skip, id="none")]
    return [pytest.param(case, id=case["name"]) for case in golden.read(path)]


def statistics_of(path: Path) -> EmbodimentStatistics:
    values = golden.read(path)
    return parse_statistics(next(iter(values.values())), path.name)


def statistics_for(case: dict[str, Any]) -> EmbodimentStatistics:
    """A case names the statistics that it uses in its note, when they are not the usual ones."""
    degenerate = "degenerate_statistics.json"
    return statistics_of(
        STATE_ACTION / (degenerate if degenerate in case["note"] else "statistics.json")
    )


def codec_of(case: dict[str, Any], statistics: EmbodimentStatistics) -> StateActionCodec:
    modality = parse_modality_config(case["modality_config"], case["name"])
    return StateActionCodec(modality, statistics, NormalizeOptions(**case["options"]))


def assert_groups(got: dict[str, Any], want: dict[str, Any], atol: float, rtol: float = 0) -> None:
    assert set(got) == set(want)
    for key, values in want.items():
        golden.assert_near(got[key], values, atol, key, rtol)


@pytest.mark.parametrize("case", listed(STATE_ACTION))
def test_states_and_actions_are_normalized(case):
    values = golden.tensors(STATE_ACTION / f"{case['name']}.safetensors")
    codec = codec_of(case, statistics_for(case))
    state, action = golden.group(values, "in.state"), golden.group(values, "in.action")
    normalized_state = codec.normalize_state(state)
    normalized_action = codec.normalize_action(action, state)
    assert_groups(normalized_state, golden.group(values, "out.state"), NORMALIZED_ATOL)
    assert_groups(normalized_action, golden.group(values, "out.action"), NORMALIZED_ATOL)
    assert list(normalized_action) == case["modality_config"]["action"]["modality_keys"]
    assert sum(group.shape[-1] for group in action.values()) == case["action_dim"]


@pytest.mark.parametrize("case", listed(STATE_ACTION))
def test_normalized_actions_are_restored(case):
    values = golden.tensors(STATE_ACTION / f"{case['name']}.safetensors")
    codec = codec_of(case, statistics_for(case))
    chunks = golden.group(values, "in.normalised_action_batched")
    states = golden.group(values, "in.state_batched")
    batched = codec.restore_action(chunks, states)
    want = golden.group(values, "out.unapplied_batched")
    assert_groups(batched, want, DECODED_ATOL, DECODED_RTOL)
    first = codec.restore_action(
        {key: chunk[0] for key, chunk in chunks.items()},
        {key: state[0] for key, state in states.items()},
    )
    want = golden.group(values, "out.unapplied_first_unbatched")
    assert_groups(first, want, DECODED_ATOL, DECODED_RTOL)
    state = golden.group(values, "in.state")
    roundtrip = codec.restore_action(golden.group(values, "out.action"), state)
    want = golden.group(values, "out.roundtrip_action")
    assert_groups(roundtrip, want, DECODED_ATOL, DECODED_RTOL)


@pytest.mark.parametrize("case", listed(PADDING))
def test_padding_and_cutting(case):
    values = golden.tensors(PADDING / f"{case['name']}.safetensors")
    codec = codec_of(padding_setting(case), statistics_of(STATE_ACTION / "statistics.json"))
    state, action = golden.group(values, "in.state"), golden.group(values, "in.action")
    padded_state = pad_state(codec.normalize_state(state), case["max_state_dim"])
    padded, mask = pad_action(
        codec.normalize_action(action, state), case["max_action_horizon"], case["max_action_dim"]
    )
    golden.assert_near(padded_state, values["out.state"], NORMALIZED_ATOL, "state")
    golden.assert_near(padded, values["out.action"], NORMALIZED_ATOL, "action")
    golden.assert_near(mask, values["out.action_mask"], 0, "action_mask")
    keys = codec.modality.action.keys
    dims = [codec.action_dim(key) for key in keys]
    steps = codec.modality.action.steps
    cut = cut_action(values["in.model_action"].numpy(), keys, dims, steps)
    decoded = codec.restore_action(cut, golden.group(values, "in.state_batched"))
    assert_groups(decoded, golden.group(values, "out.decoded"), DECODED_ATOL, DECODED_RTOL)


def padding_setting(case: dict[str, Any]) -> dict[str, Any]:
    """The padding cases have the modality configuration of the first state and action case, with
    every state encoded as sines and cosines where the case says so, and a fine-tune's options."""
    modality = golden.read(STATE_ACTION / "cases.json")[0]["modality_config"]
    modality["state"]["sin_cos_embedding_keys"] = modality["state"]["modality_keys"]
    flags = ("use_relative_action", "apply_sincos_state_encoding")
    options = {name: case[name] for name in flags}
    return {"name": case["name"], "modality_config": modality, "options": options}


@pytest.mark.parametrize("path", golden.cases("stats/merged_statistics_*.json"))
def test_statistics_of_a_processor_are_slices_of_the_dataset(path):
    meta = path.parent / "dataset" / "meta"
    sliced = slice_statistics(
        golden.read(meta / "stats.json"),
        golden.read(meta / "relative_stats.json"),
        golden.read(meta / "modality.json"),
    )
    merged = statistics_json(merge_statistics([sliced]))
    (want,) = golden.read(path).values()
    for kind, keys in want.items():
        assert set(merged[kind]) == set(keys)
        for key, entry in keys.items():
            assert set(merged[kind][key]) == set(entry)
            for name, numbers in entry.items():
                golden.assert_near(
                    merged[kind][key][name], numbers, 1e-6, f"{kind}.{key}.{name}", 1e-5
                )
