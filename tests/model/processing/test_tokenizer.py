import hypothesis.strategies as st
import numpy as np
import pytest
from handover_common import HubError
from handover_model.errors import TokenizerError
from handover_model.processing import tokenizer as module
from handover_model.processing.tokenizer import (
    IMAGE_TOKEN,
    IMAGE_TOKENS,
    find_tokenizer,
    formalize,
    load_tokenizer,
    pad_left,
    render_prompt,
)
from handover_training.aloha_mini.data.snapshots import TASK_TEXTS
from handover_training.aloha_mini.tokenizer import (
    CHAT_TOKENS,
    save_tokenizer,
    train_tokenizer,
)
from hypothesis import given, settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(train_tokenizer(), path)
    return path


@pytest.fixture(scope="module")
def small(folder):
    return load_tokenizer(folder, train_tokenizer().token_to_id(IMAGE_TOKEN))


def test_formalizing_drops_case_and_punctuation_alone():
    assert formalize("Pick up: the_CUBE, 2×3!  ") == "pick up the_cube 23  "
    assert formalize("Élan — 你好！\n") == "élan  你好\n"


def test_the_prompt_is_the_chat_frame():
    assert render_prompt("go", [2, 1]) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        "go<image 1><img><IMG_CONTEXT><IMG_CONTEXT></img><image 2><img><IMG_CONTEXT></img>"
        "<|im_end|>\n"
    )


@settings(deadline=None)
@given(st.text())
def test_any_instruction_is_encoded_and_comes_back(small, text):
    import unicodedata

    ids = small.encode(text)
    special = set(CHAT_TOKENS) | set(IMAGE_TOKENS)
    if not any(token in text for token in special):
        decoded = small.tokenizer.decode(ids.tolist(), skip_special_tokens=False)
        assert decoded == unicodedata.normalize("NFC", text)
    assert (ids < small.tokenizer.get_vocab_size(with_added_tokens=True)).all()


def test_special_tokens_are_one_token_each(small):
    for token in (*CHAT_TOKENS, *IMAGE_TOKENS):
        assert len(small.encode(token)) == 1


def test_the_learnt_tasks_are_short(small):
    text = render_prompt(formalize(TASK_TEXTS[0]), [0])
    assert len(small.encode(text)) < len(text.encode()) / 3


def test_training_the_tokenizer_repeats():
    assert train_tokenizer().to_str() == train_tokenizer().to_str()


def test_vocabulary_and_merges_make_the_same_tokenizer(small, folder, tmp_path):
    import json

    small.tokenizer.model.save(str(tmp_path))
    vocabulary = small.tokenizer.get_vocab(with_added_tokens=True)
    added = {token: vocabulary[token] for token in (*CHAT_TOKENS, *IMAGE_TOKENS)}
    (tmp_path / "added_tokens.json").write_text(json.dumps(added))
    rebuilt = load_tokenizer(tmp_path, small.image_token)
    for text in (render_prompt("insert the péég 12", [3]), *TASK_TEXTS, "你好 don't   stop\n\n"):
        assert rebuilt.encode(text).tolist() == small.encode(text).tolist()


def test_added_tokens_of_another_vocabulary_are_refused(small, tmp_path):
    small.tokenizer.model.save(str(tmp_path))
    (tmp_path / "added_tokens.json").write_text('{"<|endoftext|>": 99999}')
    with pytest.raises(TokenizerError, match="should get the id 99999"):
        load_tokenizer(tmp_path, small.image_token)


def test_a_base_tokenizer_gets_the_image_tokens_that_it_lacks(small, tmp_path):
    import json

    small.tokenizer.model.save(str(tmp_path))
    size = small.tokenizer.get_vocab_size(with_added_tokens=False)
    chat = {token: size + place for place, token in enumerate(CHAT_TOKENS)}
    (tmp_path / "added_tokens.json").write_text(json.dumps(chat))
    extended = load_tokenizer(tmp_path, size + len(CHAT_TOKENS))
    ids = [extended.tokenizer.token_to_id(token) for token in IMAGE_TOKENS]
    assert ids == list(range(size + len(CHAT_TOKENS), size + len(CHAT_TOKENS) + len(IMAGE_TOKENS)))


def test_a_tokenizer_of_another_model_is_refused(folder):
    with pytest.raises(TokenizerError, match=r"the checkpoint expects 5; .*--tokenizer"):
        load_tokenizer(folder, 5)


def test_a_damaged_tokenizer_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match="cannot be read"):
        load_tokenizer(tmp_path, 5)


def test_a_missing_tokenizer_names_the_option(tmp_path, monkeypatch):
    def unreachable(name, **_options):
        raise HubError(f"{name}: the hub cannot be reached")

    monkeypatch.setattr(module, "fetch", unreachable)
    with pytest.raises(TokenizerError, match="--tokenizer DIR"):
        find_tokenizer(tmp_path, None)
    with pytest.raises(TokenizerError, match=r"--tokenizer .*expected a folder"):
        find_tokenizer(tmp_path, tmp_path)


def test_the_chosen_tokenizer_comes_before_the_checkpoint_s_own(folder, tmp_path):
    assert find_tokenizer(folder, None) == folder
    save_tokenizer(train_tokenizer(), tmp_path)
    assert find_tokenizer(folder, tmp_path) == tmp_path


def test_padding_is_on_the_left():
    ids, mask = pad_left([np.array([1, 2, 3]), np.array([4])], 9)
    assert ids.tolist() == [[1, 2, 3], [9, 9, 4]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]
