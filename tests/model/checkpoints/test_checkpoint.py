import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
import torch
from handover_common import HandoverError
from handover_model.checkpoints.checkpoint import (
    MASK_TOKEN,
    choose_tag,
    load_checkpoint,
    read_unused,
    save_checkpoint,
)
from handover_model.checkpoints.hashes import weights_hash
from handover_model.checkpoints.metadata import CheckpointMetadata
from handover_model.checkpoints.weights import weight_files, weight_shapes
from handover_model.errors import CheckpointError
from handover_model.network.groot import LM_HEAD, build_empty, unused_shapes
from handover_model.processing.processor_config import processor_files
from handover_proto.types import TrainingRecord
from safetensors.torch import load_file, save_file

from .. import tiny


@pytest.fixture
def copy(mini, tmp_path):
    return shutil.copytree(mini, tmp_path / "copy")


def change_weights(folder, change):
    (path,) = weight_files(folder)
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


def change_json(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def assert_same_weights(one, other):
    first, second = one.state_dict(), other.state_dict()
    assert set(first) == set(second)
    for key, tensor in first.items():
        assert tensor.dtype == second[key].dtype
        assert torch.equal(tensor, second[key]), key


@pytest.mark.parametrize("shard_bytes", [10**9, 300_000])
def test_saving_and_loading_is_lossless(mini, tmp_path, shard_bytes):
    loaded = load_checkpoint(mini)
    eagle = loaded.network.eagle
    record = TrainingRecord("aloha", "abc", (0, 1), (2,))
    metadata = CheckpointMetadata(20.0, {"left_arm": "rad"}, {"ego_view": (256, 256)}, (record,))
    save_checkpoint(
        tmp_path / "again",
        loaded.network,
        loaded.processor_config,
        metadata=metadata,
        tokenizer=mini,
        unused=read_unused(mini, eagle),
        shard_bytes=shard_bytes,
    )
    again = load_checkpoint(tmp_path / "again")
    assert_same_weights(again.network, loaded.network)
    assert again.config.to_json() == loaded.config.to_json()
    assert again.network.eagle == eagle
    assert processor_files(again.processor_config) == processor_files(loaded.processor_config)
    assert again.metadata == metadata
    assert again.processor().tag == "gr1"
    assert weight_shapes(tmp_path / "again") == weight_shapes(mini)
    files = weight_files(tmp_path / "again")
    assert (len(files) > 1) == (shard_bytes < 10**9)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]  # nothing half-made is left


def test_an_existing_folder_is_never_overwritten(mini, copy):
    loaded = load_checkpoint(mini)
    with pytest.raises(CheckpointError, match="exists already"):
        save_checkpoint(copy, loaded.network, loaded.processor_config)


def test_missing_left_over_and_misshapen_weights_are_listed_together(copy):
    def change(weights):
        del weights["action_head.vlln.weight"]
        weights["action_head.surprise"] = torch.zeros(2)
        weights["action_head.vlln.bias"] = torch.zeros(3)

    change_weights(copy, change)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(copy)
    said = str(caught.value)
    assert "1 missing: action_head.vlln.weight" in said
    assert "1 left over: action_head.surprise" in said
    assert "1 of another shape: action_head.vlln.bias is (3,), expected (64,)" in said


def test_unused_weights_may_be_there_or_not(mini, copy):
    eagle = load_checkpoint(mini).network.eagle
    assert set(unused_shapes(eagle)) <= set(weight_shapes(mini))
    change_weights(copy, lambda weights: [weights.pop(key) for key in unused_shapes(eagle)])
    assert_same_weights(load_checkpoint(copy).network, load_checkpoint(mini).network)
    change_weights(copy, lambda weights: weights.update({LM_HEAD: torch.zeros(2, 2)}))
    with pytest.raises(CheckpointError, match="lm_head"):
        load_checkpoint(copy)


def test_a_missing_mask_token_is_made(copy):
    change_json(copy / "config.json", state_dropout_prob=0.2)
    head = load_checkpoint(copy).network.action_head
    assert 0 < head.mask_token.abs().max() < 0.2


def test_a_mask_token_is_read_and_passed_over_without_dropout(copy):
    width = load_checkpoint(copy).config.input_embedding_dim
    token = torch.full((1, 1, width), 0.5)
    change_weights(copy, lambda weights: weights.update({MASK_TOKEN: token}))
    assert not hasattr(load_checkpoint(copy).network.action_head, "mask_token")
    change_json(copy / "config.json", state_dropout_prob=0.2)
    assert torch.equal(load_checkpoint(copy).network.action_head.mask_token, token)


def test_stored_types_are_kept_or_cast(copy):
    key = "action_head.vlln.weight"
    change_weights(copy, lambda weights: weights.update({key: weights[key].bfloat16()}))
    kept = dict(load_checkpoint(copy).network.named_parameters())
    assert kept[key].dtype == torch.bfloat16
    assert kept["action_head.vlln.bias"].dtype == torch.float32
    cast = load_checkpoint(copy, dtype=torch.bfloat16).network
    assert {weight.dtype for weight in cast.parameters()} == {torch.bfloat16}
    assert {buffer.dtype for buffer in cast.buffers()} == {torch.float32}  # RoPE's frequencies
    assert not any(tensor.is_meta for tensor in (*cast.parameters(), *cast.buffers()))


def test_pickled_weights_are_never_loaded(copy):
    (path,) = weight_files(copy)
    path.rename(copy / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="pickled weights"):
        load_checkpoint(copy)


def test_a_truncated_weight_file_is_refused(copy):
    (path,) = weight_files(copy)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is not a readable"):
        load_checkpoint(copy)


@pytest.mark.parametrize("shard", ["gone.safetensors", "../model.safetensors", 3])
def test_an_index_must_name_files_of_the_folder(copy, shard):
    index = {"weight_map": {"action_head.vlln.weight": shard}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="lacks weight files"):
        load_checkpoint(copy)


def test_settings_of_processor_and_network_must_agree(copy):
    path = copy / "processor_config.json"
    values = json.loads(path.read_text())
    values["processor_kwargs"]["max_state_dim"] = 64
    path.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"max_state_dim 64, but config\.json has 32"):
        load_checkpoint(copy).processor()


def test_an_embodiment_needs_a_slot_that_the_network_has(copy):
    (copy / "embodiment_id.json").write_text('{"gr1": 20}')
    with pytest.raises(CheckpointError, match="slot 20, but the network has 4"):
        load_checkpoint(copy).processor()


def test_one_of_several_embodiments_must_be_chosen(copy):
    path = copy / "processor_config.json"
    values = json.loads(path.read_text())
    modalities = values["processor_kwargs"]["modality_configs"]
    modalities["unitree_g1"] = modalities["oxe_droid"] = modalities["gr1"]
    path.write_text(json.dumps(values))
    statistics = json.loads((copy / "statistics.json").read_text())
    change_json(copy / "statistics.json", unitree_g1=statistics["gr1"])
    config = load_checkpoint(copy).processor_config
    assert choose_tag(config, "gr1") == "gr1"
    with pytest.raises(CheckpointError, match="--embodiment-tag: gr1, unitree_g1"):
        choose_tag(config, None)
    with pytest.raises(CheckpointError, match=r"'oxe_droid'.* gr1, unitree_g1"):  # no statistics
        choose_tag(config, "oxe_droid")


def hashes(folder):
    loaded = load_checkpoint(folder)
    processor = loaded.processor()
    return loaded.weights_hash, loaded.processor_hash(processor), loaded.hash(processor)


def test_hashes_do_not_depend_on_the_place_nor_on_spacing(mini, copy):
    for name in ("config.json", "statistics.json", "processor_config.json"):
        (copy / name).write_text(json.dumps(json.loads((copy / name).read_text())))
    assert hashes(copy) == hashes(mini)


def statistics_moved(folder):
    statistics = json.loads((folder / "statistics.json").read_text())
    statistics["gr1"]["state"]["waist"]["min"][0] -= 1
    (folder / "statistics.json").write_text(json.dumps(statistics))


def merges_swapped(folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    merges = tokenizer["model"]["merges"]
    merges[0], merges[1] = merges[1], merges[0]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


CHANGES = {  # what is changed: whether the weights' hash, the processor's and the whole's differ
    "weights": (
        lambda at: change_weights(at, lambda w: w["action_head.vlln.bias"].add_(1)),
        (True, False, True),
    ),
    "config.json": (
        lambda at: change_json(at / "config.json", num_inference_timesteps=2),
        (False, False, True),
    ),
    "eagle_config.json": (
        lambda at: change_json(
            at / "eagle_config.json",
            text_config={
                **json.loads((at / "eagle_config.json").read_text())["text_config"],
                "rope_theta": 5e5,
            },
        ),
        (False, False, True),
    ),
    "statistics.json": (statistics_moved, (False, True, True)),
    "tokenizer.json": (merges_swapped, (False, True, True)),
    "handover.json": (
        lambda at: change_json(at / "handover.json", max_delay_steps=3),
        (False, True, True),
    ),
    "what was measured of it": (
        lambda at: change_json(at / "handover.json", latency_envelopes=[ENVELOPE]),
        (False, False, False),
    ),
}
ENVELOPE = {
    **{"task": "pick it up", "switching": "rtc", "latency_ms": 300, "jitter_ms": 30},
    "episodes": 100,
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_decides_an_answer_changes_the_hash(mini, copy, name):
    change, expected = CHANGES[name]
    change(copy)
    assert tuple(a != b for a, b in zip(hashes(copy), hashes(mini), strict=True)) == expected


def test_the_hash_is_that_of_the_bytes_that_were_loaded(copy):
    loaded = load_checkpoint(copy)
    assert loaded.weights_hash == weights_hash(copy)
    before = {key: value.clone() for key, value in loaded.network.state_dict().items()}
    (path,) = weight_files(copy)
    with path.open("r+b") as file:  # in place, under the loaded network
        file.seek(-64, 2)
        file.write(b"\x7f" * 64)
    assert weights_hash(copy) != loaded.weights_hash
    for key, value in loaded.network.state_dict().items():
        assert torch.equal(value, before[key]), key
    path.write_bytes(b"")  # mapped weights would end the process here
    assert all(torch.isfinite(value).all() for value in loaded.network.state_dict().values())


def test_a_kept_hash_is_that_of_the_file(copy, tmp_path, monkeypatch):
    monkeypatch.setattr("handover_model.checkpoints.hashes.CACHED_BYTES", 0)
    cache = tmp_path / "cache"
    plain = weights_hash(copy)
    assert weights_hash(copy, cache) == plain
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(
        "handover_model.checkpoints.hashes.read_hash", lambda _path: pytest.fail("read again")
    )
    assert weights_hash(copy, cache) == plain


def test_loading_gives_a_network_ready_to_infer(mini):
    network = load_checkpoint(mini).network
    assert not any(module.training for module in network.modules())
    assert all(np.isfinite(weight.detach().numpy()).all() for weight in network.parameters())


def test_a_local_folder_is_taken_as_it_is(mini):
    assert load_checkpoint(str(mini)).name == mini.name


@pytest.mark.parametrize(
    ("name", "path", "value", "message"),
    [
        ("config.json", ("diffusion_model_cfg", "num_layers"), 10**9, "expected 0 to 1048576"),
        ("config.json", ("diffusion_model_cfg", "num_layers"), 10**5, "files have 8 such layers"),
        ("config.json", ("select_layer",), 10**6, "weight files have 2 such layers"),
        ("config.json", ("max_seq_len",), 10**6, "of another shape"),
        ("config.json", ("num_inference_timesteps",), 10**5, "expected 1 to 256"),
        ("config.json", ("diffusion_model_cfg",), 3, "expected an object of settings"),
        ("eagle_config.json", ("vision_config", "num_hidden_layers"), 10**6, "2 such layers"),
        ("eagle_config.json", ("vision_config", "patch_size"), 10**6, "of another shape"),
        ("eagle_config.json", ("text_config", "head_dim"), 0, "text head_dim is 0"),
        ("processor_config.json", ("processor_kwargs", "shortest_image_edge"), 10**5, "1 to 4096"),
        ("processor_config.json", ("processor_kwargs", "crop_fraction"), 0, "expected 0.01 to 1"),
        ("handover.json", ("rate_hz",), float("nan"), "rate_hz is nan"),
        ("statistics.json", ("gr1",), 3, "expected {kind"),
    ],
)
def test_sizes_are_refused_before_anything_of_them_is_made(copy, name, path, value, message):
    content = json.loads((copy / name).read_text())
    *above, last = path
    inner = content
    for key in above:
        inner = inner[key]
    inner[last] = value
    (copy / name).write_text(json.dumps(content))
    with pytest.raises(HandoverError, match=message):
        load_checkpoint(copy)


def test_sizes_whose_product_no_tensor_has_are_refused():
    vision = dataclasses.replace(tiny.EAGLE.vision_config, hidden_size=2**20, patch_size=2**20)
    with pytest.raises(CheckpointError, match="no network has"):
        build_empty(tiny.CONFIG, dataclasses.replace(tiny.EAGLE, vision_config=vision))


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000 + "]" * 200_000, '{"a":' * 40 + "1" + "}" * 40, '{"a": ' + "9" * 5000 + "}"],
)
def test_json_that_would_exhaust_its_reader_is_refused(copy, text):
    (copy / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read as JSON"):
        load_checkpoint(copy)


def test_a_pipe_in_place_of_a_file_is_not_waited_for(copy):
    (copy / "config.json").unlink()
    os.mkfifo(copy / "config.json")
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        load_checkpoint(copy)
