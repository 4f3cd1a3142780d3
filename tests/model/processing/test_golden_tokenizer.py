"""Instructions, prompts, token ids and image sizes against what NVIDIA's code gave."""

import numpy as np
import pytest
from handover_model.processing.image import ImageOptions, crop_frame, prepare_frame
from handover_model.processing.processor_config import EMBODIMENT_IDS
from handover_model.processing.tokenizer import (
    IMAGE_END,
    IMAGE_START,
    IMAGE_TOKEN,
    PromptTokenizer,
    formalize,
    load_tokenizer,
    render_prompt,
)

from .. import golden

pytestmark = pytest.mark.golden
SIDE = 28
CASES = golden.cases("processor/tokens.json")


@pytest.fixture(scope="module")
def tokenizer() -> PromptTokenizer:
    folder = golden.FOLDER / "tokenizer"
    if not folder.is_dir():
        pytest.skip("no golden tokenizer (set HANDOVER_GOLDEN)")
    specials = golden.read(folder / "added_tokens.json")
    return load_tokenizer(folder, specials[IMAGE_TOKEN])


@pytest.mark.parametrize("case", CASES)
def test_special_tokens(case, tokenizer):
    values = golden.read(case)
    for token, number in values["special_token_ids"].items():
        assert tokenizer.tokenizer.token_to_id(token) == number
    assert tokenizer.pad_token == values["special_token_ids"][values["pad_token"]]
    assert (
        tokenizer.tokenizer.get_vocab_size(with_added_tokens=True)
        == values["vocab_size_with_added"]
    )
    assert values["padding_side"] == "left"


@pytest.mark.parametrize("case", CASES)
def test_instructions(case, tokenizer):
    for entry in golden.read(case)["language"]:
        assert formalize(entry["raw"]) == entry["formalised"]
        ids = tokenizer.encode(entry["formalised"]).tolist()
        assert ids == entry["input_ids_of_formalised_text_alone"]
        assert tokenizer.encode(entry["raw"]).tolist() == entry["input_ids_of_raw_text_alone"]


@pytest.mark.parametrize("case", CASES)
def test_prompts_of_a_batch(case, tokenizer):
    values = golden.read(case)
    for batch in values["batches"]:
        texts, tokens = [], []
        for sample in batch["samples"]:
            sizes = [prepare_size(size) for size in sample["images_given"]]
            counts = [height * width // SIDE**2 for height, width in sizes]
            texts.append(render_prompt(sample["text"], counts))
            tokens.append(sum(counts))
        ids, mask = tokenizer.encode_batch(texts)
        assert ids.tolist() == batch["input_ids"]
        assert mask.tolist() == batch["attention_mask"]
        assert tokens == batch["image_tokens_per_sample"]
        for text, expanded in zip(texts, batch["expanded_text"], strict=True):
            assert shortened(text) == expanded.replace(values["pad_token"], "")


def prepare_size(size: list[int]) -> tuple[int, int]:
    from handover_model.processing.image import token_grid_size

    return token_grid_size(size[0], size[1], SIDE)


def shortened(text: str) -> str:
    """Write a run of n image tokens as the golden files do: <IMG_CONTEXT>{xn}."""
    pieces = text.split(IMAGE_START)
    for place, piece in enumerate(pieces[1:], start=1):
        tokens, rest = piece.split(IMAGE_END, 1)
        pieces[place] = f"{IMAGE_TOKEN}{{x{tokens.count(IMAGE_TOKEN)}}}{IMAGE_END}{rest}"
    return IMAGE_START.join(pieces)


@pytest.mark.parametrize("case", CASES)
def test_sizes_of_camera_images(case):
    for row in golden.read(case)["image_size_table"]:
        frame = np.zeros((*row["camera"], 3), np.uint8)
        assert list(crop_frame(frame, ImageOptions()).shape[:2]) == row["after_crop_resize"]
        prepared = prepare_frame(frame, ImageOptions(), SIDE)
        assert list(prepared.shape[:2]) == row["vision_input"]
        assert prepared.shape[0] * prepared.shape[1] // SIDE**2 == row["image_tokens"]


@pytest.mark.parametrize("case", CASES)
def test_embodiment_slots(case):
    assert golden.read(case)["embodiment_ids"] == EMBODIMENT_IDS
