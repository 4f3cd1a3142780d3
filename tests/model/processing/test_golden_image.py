"""Image preparation against what NVIDIA's code (with its libraries) gave."""

import json
from typing import Any

import PIL
import pytest
from handover_model.processing.image import (
    ImageOptions,
    crop_frame,
    prepare_frame,
    resize_to_multiples,
    to_pixels,
)

from .. import golden

pytestmark = pytest.mark.golden
FOLDER = golden.FOLDER / "processor" / "image"
SIDE = 28
# Pillow 13 changed its bicubic filter
RESIZE_LEVELS = 2 if int(PIL.__version__.split(".")[0]) >= 13 else 0


def rows(torchvision: bool) -> list[Any]:
    path = FOLDER / "cases.json"
    if not path.is_file():
        return [pytest.param({}, marks=pytest.mark.skip(reason=f"no golden file {path}"))]
    found = golden.read(path)["rows"]
    chosen = [row for row in found if (row.get("variant") == "torchvision") == torchvision]
    return [pytest.param(row, id=json.dumps(row["input"])) for row in chosen]


def name_of(size: list[int]) -> str:
    return f"{size[0]}x{size[1]}"


@pytest.mark.parametrize("row", rows(torchvision=False))
def test_every_stage_of_a_frame(row):
    settings = golden.read(FOLDER / "cases.json")["settings"]
    options = ImageOptions(**settings)
    values = golden.group(
        golden.tensors(FOLDER / "albumentations.safetensors"), name_of(row["input"])
    )
    frame = values["in.image_hwc_u8"]
    cropped = crop_frame(frame, options)
    golden.assert_near(cropped, values["out.after_crop_resize_hwc_u8"], 0, "crop and resize")
    assert list(cropped.shape[:2]) == row["after_crop_resize"]
    prepared = prepare_frame(frame, options, SIDE)
    golden.assert_near(prepared, values["out.after_smart_resize_hwc_u8"], RESIZE_LEVELS, "resize")
    pixels = to_pixels(prepared)
    assert list(pixels.shape) == row["pixel_values"]
    assert prepared.shape[0] * prepared.shape[1] // SIDE**2 == row["image_tokens"]
    if "out.pixel_values" in values:
        golden.assert_near(pixels, values["out.pixel_values"], 1e-6 + RESIZE_LEVELS / 127, "pixels")


@pytest.mark.parametrize("row", rows(torchvision=True))
def test_the_letterbox_variant(row):
    options = ImageOptions(
        use_albumentations=False,
        image_target_size=tuple(row["image_target_size"]),
        image_crop_size=tuple(row["image_crop_size"]),
    )
    frames = golden.tensors(FOLDER / "albumentations.safetensors")
    frame = frames[f"{name_of(row['input'])}.in.image_hwc_u8"].numpy()
    target, crop = options.image_target_size, options.image_crop_size
    name = f"{name_of(row['input'])}_target{target[0]}_crop{crop[0]}"
    values = golden.group(golden.tensors(FOLDER / "torchvision.safetensors"), name)
    transformed = crop_frame(frame, options)
    golden.assert_near(transformed, values["out.after_transform_hwc_u8"], 0, "transform")
    resized = resize_to_multiples(transformed, SIDE)
    golden.assert_near(resized, values["out.after_smart_resize_hwc_u8"], RESIZE_LEVELS, "resize")
    assert list(resized.shape[:2]) == row["after_smart_resize"]
