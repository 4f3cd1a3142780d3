"""A tokenizer of a few hundred tokens, for small checkpoints: all bytes, and the tasks' words."""

from collections.abc import Sequence
from pathlib import Path

from handover_model.processing import (
    IMAGE_TOKENS,
    PAD_TOKEN,
    TOKENIZER_FILE,
    byte_level,
    formalize,
    render_prompt,
)
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

CHAT_TOKENS = (PAD_TOKEN, "<|im_start|>", "<|im_end|>")
TASKS = (
    "Pick up the cube with the right arm and transfer it to the left arm.",
    "Insert the peg into the socket.",
)
MERGES = 128


def train_tokenizer(sentences: Sequence[str] = TASKS, merges: int = MERGES) -> Tokenizer:
    """Learn a byte-level BPE from task sentences and the chat frame around them.

    Any text can be encoded: what was not learnt falls into its bytes. The result depends on the
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
    added = [AddedToken(token, special=True, normalized=False) for token in _added()]
    tokenizer.add_special_tokens(added)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write a tokenizer's file into a folder."""
    tokenizer.save(str(folder / TOKENIZER_FILE))


def _added() -> tuple[str, ...]:
    return (*CHAT_TOKENS, *IMAGE_TOKENS)
