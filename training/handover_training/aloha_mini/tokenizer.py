"""The tokenizer of small checkpoints: a few hundred tokens, all bytes and the tasks' words."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from handover_model.processing import (
    IMAGE_TOKEN,
    IMAGE_TOKENS,
    PAD_TOKEN,
    TOKENIZER_FILE,
    PromptTokenizer,
    byte_level,
    formalize,
    render_prompt,
)
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from torch import Tensor

from handover_training.aloha_mini.data.snapshots import TASK_TEXTS

CHAT_TOKENS = (PAD_TOKEN, "<|im_start|>", "<|im_end|>")
MERGES = 128
# of sentences that mean nothing: the backbone must see the same whatever the task is called
_WORDS = (
    *("arm", "block", "both", "box", "cup", "cube", "drop", "from"),
    *("give", "grasp", "hand", "hold", "in", "insert", "into", "it"),
    *("left", "lift", "move", "of", "on", "onto", "open", "other"),
    *("pass", "peg", "pick", "place", "press", "pull", "push", "put"),
    *("red", "right", "robot", "rotate", "slide", "socket", "stack", "take"),
    *("the", "then", "to", "tower", "towards", "turn", "up", "with"),
)


def train_tokenizer(sentences: Sequence[str] = TASK_TEXTS, merges: int = MERGES) -> Tokenizer:
    """Learn a byte-level BPE from task sentences and the chat frame around them.

    Any text can be encoded: what was not learned falls into its bytes. The result depends on the
    sentences alone.
    """
    tokenizer = byte_level(BPE())
    alphabet = sorted(ByteLevel.alphabet())
    trainer = BpeTrainer(  # pyright: ignore[reportCallIssue]
        vocab_size=len(alphabet) + merges, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(
        (render_prompt(formalize(one), [0]) for one in sentences), trainer
    )
    added = (*CHAT_TOKENS, *IMAGE_TOKENS)
    tokenizer.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in added])
    return tokenizer


def random_sentence(rng: np.random.Generator) -> str:
    """Draw a sentence of 3 to 14 words."""
    return " ".join(rng.choice(_WORDS, rng.integers(3, 15)).tolist())


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write a tokenizer's file into a folder."""
    tokenizer.save(str(folder / TOKENIZER_FILE))


def prompt_tokenizer() -> PromptTokenizer:
    """Make the encoder of prompts, with the small tokenizer."""
    tokenizer = train_tokenizer()
    image_token, pad_token = (tokenizer.token_to_id(name) for name in (IMAGE_TOKEN, PAD_TOKEN))
    assert image_token is not None
    assert pad_token is not None
    return PromptTokenizer(tokenizer, image_token, pad_token)


class SentencePrompts:
    """Token ids of prompts with any sentences, for images of one size."""

    def __init__(self, image_tokens: int) -> None:
        self._tokenizer, self._image_tokens = prompt_tokenizer(), image_tokens

    def batch(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return ids and mask of B sentences' prompts: (B, S), (B, S)."""
        ids, mask = self._tokenizer.encode_batch(
            [render_prompt(formalize(one), [self._image_tokens]) for one in sentences]
        )
        return torch.from_numpy(ids), torch.from_numpy(mask)
