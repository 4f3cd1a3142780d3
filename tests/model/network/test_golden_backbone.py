"""The backbone against what NVIDIA's code computed on the same images, ids and weights."""

from pathlib import Path

import pytest
import torch
from handover_model.network.backbone import Backbone, fold_patches
from handover_model.network.eagle_config import parse_eagle
from handover_model.network.groot import unused_shapes
from handover_model.network.siglip import cut_patches
from torch import Tensor

from .. import golden

pytestmark = pytest.mark.golden
PREFIX = "backbone."
VISION_ATOL, LANGUAGE_ATOL = 2e-5, 5e-5


CASES = golden.cases("backbone/*.safetensors", but=("weights",))


def backbone_of(folder: Path) -> Backbone:
    described = golden.read(folder / "eagle_config.json")
    eagle = parse_eagle(described, "eagle_config.json")
    backbone = Backbone(eagle, described["select_layer"]).eval()
    weights = golden.tensors(folder / "weights.safetensors")
    unused = unused_shapes(eagle)
    assert all(tuple(weights.pop(key).shape) == shape for key, shape in unused.items())
    backbone.load_state_dict({key.removeprefix(PREFIX): value for key, value in weights.items()})
    return backbone


def test_cases_exist_as_listed():
    if not golden.FOLDER.is_dir():
        pytest.skip("no golden files (set HANDOVER_GOLDEN)")
    listed = set(golden.read(golden.FOLDER / "backbone" / "cases.json"))
    found = {path.stem for path in (golden.FOLDER / "backbone").glob("*.safetensors")}
    assert found == listed | {"weights"}


@pytest.mark.parametrize("case", CASES)
def test_vision_tower_layer_by_layer(case):
    values, backbone = golden.tensors(case), backbone_of(case.parent)
    tower, stages = backbone.model.vision_model.vision_model, {}
    parts = {"patch_embedding": tower.embeddings.patch_embedding, "embeddings": tower.embeddings}
    parts |= {f"layer{number}": layer for number, layer in enumerate(tower.encoder.layers)}
    for name, module in parts.items():
        stages[name] = []
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: stages[name].append(output[0])
        )
    images, features = golden.numbered(values, "in.pixel_values"), []
    with torch.no_grad():
        for image in images:  # one by one, so that the stages come in the order of the images
            features += tower([image])
        alone = {name: list(outputs) for name, outputs in stages.items()}
        together = tower(images)
    alone["last_hidden_state"] = [feature.flatten(0, 1) for feature in features]
    alone["patch_rows"] = [cut_patches(image, tower.embeddings.patch_size)[0] for image in images]
    wanted = golden.group(values, "out.vision")
    shapes = wanted.pop("spatial_shapes")
    assert [list(feature.shape[:2]) for feature in features] == shapes.tolist()
    for name, want in wanted.items():
        got = torch.cat(alone[name])
        golden.assert_near(got.reshape(want.shape), want, VISION_ATOL, name)
    for single, batched in zip(features, together, strict=True):
        golden.assert_near(batched, single, VISION_ATOL, "images of one size are batched")


@pytest.mark.parametrize("case", CASES)
def test_fold_and_projector(case):
    values, backbone = golden.tensors(case), backbone_of(case.parent)
    images = golden.numbered(values, "in.pixel_values")
    with torch.no_grad():
        folded = [fold_patches(feature) for feature in backbone.model.vision_model(images)]
        tokens = backbone.model.image_tokens(backbone.model.vision_model(images))
    golden.assert_near(torch.cat(folded)[None], values["out.pixel_shuffle"], VISION_ATOL, "fold")
    golden.assert_near(tokens[None], values["out.mlp1"], VISION_ATOL, "mlp1")
    side = backbone.model.fold
    counts = [len(feature) for feature in folded]
    shapes = values["out.pixel_shuffle.spatial_shapes"]
    assert counts == (shapes[:, 0] * shapes[:, 1]).tolist() or counts == [
        int(height * width) // side**2 for height, width in shapes
    ]


@pytest.mark.parametrize("case", CASES)
def test_language_model_layer_by_layer(case):
    values, backbone = golden.tensors(case), backbone_of(case.parent)
    model, stages = backbone.model.language_model.model, {}
    for number, layer in enumerate(model.layers):
        layer.register_forward_hook(
            lambda _module, _inputs, output, number=number: stages.update(
                {f"layer{number}": output}
            )
        )
    model.norm.register_forward_pre_hook(
        lambda _module, inputs: stages.update({"before_final_norm": inputs[0]})
    )
    model.layers[0].register_forward_pre_hook(
        lambda _module, inputs: stages.update({"inputs_embeds": inputs[0]})
    )
    images = golden.numbered(values, "in.pixel_values")
    with torch.no_grad():
        got = backbone(images, values["in.input_ids"], values["in.attention_mask"])
    assert golden.same(got.image_mask, values["out.image_mask"])
    assert golden.same(got.attention_mask, values["out.backbone_attention_mask"])
    real = got.attention_mask
    for name, want in golden.group(values, "out.llm").items():
        near(stages[name], torch.from_numpy(want), real, name)
    near(got.features, values["out.backbone_features"], real, "backbone_features")


def near(got: Tensor, want: Tensor, real: Tensor, what: str) -> None:
    assert got.shape == want.shape
    golden.assert_near(got[real], want[real], LANGUAGE_ATOL, what)
