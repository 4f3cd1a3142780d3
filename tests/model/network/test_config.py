import json

import pytest
from handover_model.errors import CheckpointError
from handover_model.network.config import ModelConfig, load_config, parse_config
from handover_model.network.eagle_config import EagleConfig, load_eagle, parse_eagle
from handover_model.network.groot import build_empty, unused_shapes

PUBLISHED_SIZES = {"max_state_dim": 128, "max_action_dim": 128, "action_horizon": 50}


def test_a_missing_key_means_the_default():
    config = parse_config({"max_action_dim": 40})
    assert config.max_action_dim == 40
    assert config == ModelConfig(max_action_dim=40)


def test_unread_keys_are_written_back():
    values = {
        "attn_dropout": 0.3,
        "diffusion_model_cfg": {"num_layers": 6, "norm_type": "ada_norm"},
    }
    config = parse_config(values)
    written = config.to_json()
    assert written["attn_dropout"] == 0.3
    assert written["diffusion_model_cfg"]["norm_type"] == "ada_norm"
    assert written["diffusion_model_cfg"]["num_layers"] == 6
    assert parse_config(written).to_json() == written


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"select_layer": "16"}, "select_layer should be int"),
        ({"use_vlln": 1}, "use_vlln should be bool"),
        ({"input_embedding_dim": 100}, "32 x 48 = 1536"),
        ({"hidden_size": 512}, "output_dim is 1024, expected hidden_size = 512"),
        ({"action_horizon": 2000}, "1024 rows"),
        ({"num_inference_timesteps": 0}, "num_inference_timesteps is 0"),
        ({"max_action_dim": -1}, "max_action_dim is -1"),
        ({"diffusion_model_cfg": {"norm_type": "layer_norm"}}, "not implemented"),
    ],
)
def test_settings_that_make_no_network_are_refused(values, said):
    with pytest.raises(CheckpointError, match=said):
        parse_config(values)


def test_another_release_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gr00t_n1_5"}))
    with pytest.raises(CheckpointError, match=r"gr00t_n1_5.*N1\.6"):
        load_config(tmp_path)


def test_a_folder_without_config_is_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        load_config(tmp_path)


def test_damaged_json_is_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read"):
        load_config(tmp_path)


def test_the_backbone_of_the_published_checkpoint_is_built_in(tmp_path):
    assert load_eagle(tmp_path) == EagleConfig()


def test_a_checkpoint_may_describe_its_backbone_in_part(tmp_path):
    described = {"vision_config": {"num_hidden_layers": 3}, "image_token_index": 7}
    (tmp_path / "eagle_config.json").write_text(json.dumps(described))
    eagle = load_eagle(tmp_path, "another/backbone")
    assert eagle.vision_config.num_hidden_layers == 3
    assert eagle.vision_config.hidden_size == EagleConfig().vision_config.hidden_size
    assert eagle.image_token_index == 7


def test_an_unknown_backbone_must_be_described(tmp_path):
    with pytest.raises(CheckpointError, match=r"eagle_config\.json"):
        load_eagle(tmp_path, "another/backbone")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"vision_config": {"use_rope": True}}, "use_rope"),
        ({"vision_config": {"num_patches": 200}}, "square"),
        ({"vision_config": {"num_attention_heads": 7}}, "7 heads"),
        ({"downsample_ratio": 0.25}, "fold"),
    ],
)
def test_backbones_that_are_not_implemented_are_refused(values, said):
    with pytest.raises(CheckpointError, match=said):
        parse_eagle(values, "eagle_config.json")


def test_the_published_network_has_the_published_number_of_weights():
    network = build_empty(parse_config(PUBLISHED_SIZES), EagleConfig())
    shapes = [tuple(tensor.shape) for tensor in network.state_dict().values()]
    shapes += unused_shapes(EagleConfig()).values()
    sizes = []
    for shape in shapes:
        size = 1
        for side in shape:
            size *= side
        sizes.append(size)
    assert len(sizes) == 1106  # tensors, and in all:
    assert sum(sizes) == 3_286_608_832
