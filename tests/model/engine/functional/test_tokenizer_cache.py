"""The tokenizer that remembers gives what the plain one gives."""

import numpy as np
import pytest
from handover_model.engine.functional import tokenizer_cache as prompt_cache
from handover_model.engine.functional.tokenizer_cache import remember_prompts
from handover_model.processing.tokenizer import PromptTokenizer
from handover_training.aloha_mini.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def plain():
    return PromptTokenizer(train_tokenizer(), image_token=0, pad_token=1)


def test_ids_are_those_of_the_tokenizer_the_first_time_and_after(plain):
    cached = remember_prompts(plain)
    for _ in range(2):
        for text in ("pick up the cube", "<img><IMG_CONTEXT></img>", ""):
            np.testing.assert_array_equal(cached.encode(text), plain.encode(text))
    assert len(cached.kept) == 3
    with pytest.raises(ValueError, match="read-only"):
        cached.encode("pick up the cube")[0] = 7


def test_it_forgets_the_prompt_that_was_used_longest_ago(plain, monkeypatch):
    monkeypatch.setattr(prompt_cache, "KEPT_PROMPTS", 2)
    cached = remember_prompts(plain)
    for text in ("a", "b", "a", "c"):
        cached.encode(text)
    assert list(cached.kept) == ["a", "c"]


def test_a_prompt_of_unusual_length_is_not_kept(plain, monkeypatch):
    monkeypatch.setattr(prompt_cache, "LONGEST_KEPT", 4)
    cached = remember_prompts(plain)
    np.testing.assert_array_equal(cached.encode("abcdef"), plain.encode("abcdef"))
    assert not cached.kept
