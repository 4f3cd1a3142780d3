"""Prompts and the backbone's tokenizer: Qwen's byte-level BPE with added tokens for images.

Published N1.6 checkpoints have no tokenizer files. They come from the folder that the user names,
from the checkpoint's folder if it has them, or from the Hub's Qwen3 plus the added tokens.
"""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from handover_common import HubError, fetch
from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.normalizers import NFC
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as PreTokenizers

from handover_model.errors import TokenizerError

IMAGE_TOKEN = "<IMG_CONTEXT>"
IMAGE_START, IMAGE_END = "<img>", "</img>"
PAD_TOKEN = "<|endoftext|>"
_NOT_WORD_NOR_SPACE = re.compile(r"[^\w\s]")

# words into which Qwen's tokenizers split text before merging bytes
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# added to Qwen3's, in this order
IMAGE_TOKENS = (
    *(IMAGE_TOKEN, IMAGE_START, IMAGE_END, "<box>", "</box>", "<quad>", "</quad>"),
    *("<ref>", "</ref>", "<interval>", "</interval>"),
)
HUB_TOKENIZER = "Qwen/Qwen3-1.7B"
TOKENIZER_FILE = "tokenizer.json"
VOCABULARY_FILES = ("vocab.json", "merges.txt")
ADDED_FILE = "added_tokens.json"
TOKENIZER_FILES = (TOKENIZER_FILE, *VOCABULARY_FILES, ADDED_FILE, "tokenizer_config.json")


def formalize(instruction: str) -> str:
    """Lower the case and drop punctuation, as in the model's training; spaces stay as they are."""
    return _NOT_WORD_NOR_SPACE.sub("", instruction.lower())


def render_prompt(instruction: str, image_tokens: Sequence[int]) -> str:
    """Render an instruction and its images in the chat template.

    image_tokens: number of tokens of each image of the sample, in order.
    """
    images = "".join(
        f"<image {number}>{IMAGE_START}{IMAGE_TOKEN * count}{IMAGE_END}"
        for number, count in enumerate(image_tokens, start=1)
    )
    return (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\n{instruction}{images}<|im_end|>\n"
    )


@dataclass(frozen=True)
class PromptTokenizer:
    """Converts rendered prompts to token ids."""

    tokenizer: Tokenizer
    image_token: int
    pad_token: int

    def content(self) -> str:
        """Return everything that decides the ids, as JSON."""
        return self.tokenizer.to_str()

    def encode(self, text: str) -> np.ndarray:
        """Tokenize a rendered prompt: (S,) int64."""
        return np.asarray(self.tokenizer.encode(text, add_special_tokens=False).ids, np.int64)

    def encode_batch(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Tokenize prompts and pad them on the left: ids and mask, both (B, S) int64."""
        return pad_left([self.encode(text) for text in texts], self.pad_token)


def pad_left(rows: list[np.ndarray], pad_token: int) -> tuple[np.ndarray, np.ndarray]:
    """Pad token ids on the left: B of (S_i,) -> ids and mask, both (B, S) int64."""
    return pad_left_to(rows, pad_token, max(len(row) for row in rows))


def pad_left_to(
    rows: list[np.ndarray], pad_token: int, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pad token ids on the left to a given length, at least the longest row's: see pad_left."""
    ids = np.full((len(rows), length), pad_token, np.int64)
    mask = np.zeros((len(rows), length), np.int64)
    for place, row in enumerate(rows):
        ids[place, length - len(row) :] = row
        mask[place, length - len(row) :] = 1
    return ids, mask


def has_tokenizer(folder: Path) -> bool:
    """Return whether a folder has a tokenizer's files."""
    return (folder / TOKENIZER_FILE).is_file() or all(
        (folder / name).is_file() for name in VOCABULARY_FILES
    )


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy a tokenizer's files from one folder into another."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def find_tokenizer(checkpoint: Path, chosen: Path | None) -> Path:
    """Find the folder of a checkpoint's tokenizer: the chosen one, its own, or the Hub's.

    Raises TokenizerError naming --tokenizer if there is none.
    """
    if chosen is not None:
        if not has_tokenizer(chosen):
            raise TokenizerError(
                f"--tokenizer {chosen}: expected a folder with {TOKENIZER_FILE}, or with "
                f"{' and '.join(VOCABULARY_FILES)}"
            )
        return chosen
    if has_tokenizer(checkpoint):
        return checkpoint
    try:
        return fetch(HUB_TOKENIZER, files=TOKENIZER_FILES)
    except HubError as error:
        raise TokenizerError(
            f"{checkpoint} has no tokenizer, and {HUB_TOKENIZER} cannot be downloaded "
            f"({error}); name a folder with Qwen3's by --tokenizer DIR"
        ) from error


def load_tokenizer(folder: Path, image_token: int) -> PromptTokenizer:
    """Read a tokenizer and add the image tokens that it lacks.

    image_token: the network's id of the image placeholder. Raises TokenizerError when the tokenizer
    gives that token another id, or cannot be read.
    """
    try:
        tokenizer = _read(folder)
    except TokenizerError:
        raise
    except Exception as error:  # the tokenizers library raises plain Exception
        raise TokenizerError(f"the tokenizer in {folder} cannot be read: {error}") from error
    lacking = [token for token in IMAGE_TOKENS if tokenizer.token_to_id(token) is None]
    tokenizer.add_special_tokens([_special(token) for token in lacking])
    tokenizer.no_padding()
    tokenizer.no_truncation()
    got = tokenizer.token_to_id(IMAGE_TOKEN)
    if got != image_token:
        raise TokenizerError(
            f"the tokenizer in {folder} gives {IMAGE_TOKEN} the id {got}, the checkpoint expects "
            f"{image_token}; name the tokenizer that it was trained with by --tokenizer DIR"
        )
    pad_token = tokenizer.token_to_id(PAD_TOKEN)
    if pad_token is None:
        raise TokenizerError(f"the tokenizer in {folder} has no {PAD_TOKEN} to pad with")
    return PromptTokenizer(tokenizer, image_token, pad_token)


def _read(folder: Path) -> Tokenizer:
    if (folder / TOKENIZER_FILE).is_file():
        return Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    if not has_tokenizer(folder):
        raise TokenizerError(f"{folder} has no tokenizer; name its folder by --tokenizer DIR")
    model = BPE.from_file(*(str(folder / name) for name in VOCABULARY_FILES))
    tokenizer = byte_level(model)
    if (folder / ADDED_FILE).is_file():
        added = json.loads((folder / ADDED_FILE).read_text(encoding="utf-8"))
        for token, number in sorted(added.items(), key=lambda item: item[1]):
            tokenizer.add_special_tokens([_special(token)])
            if tokenizer.token_to_id(token) != number:
                raise TokenizerError(
                    f"{folder / ADDED_FILE}: {token} should get the id {number}, got "
                    f"{tokenizer.token_to_id(token)}; does it belong to another vocabulary?"
                )
    return tokenizer


def byte_level(model: BPE) -> Tokenizer:
    """Wrap a BPE model in Qwen's normalization and splitting."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = NFC()
    split = Split(Regex(QWEN_WORDS), behavior="isolated")
    tokenizer.pre_tokenizer = PreTokenizers(
        [split, ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = ByteLevelDecoder()
    return tokenizer


def _special(token: str) -> AddedToken:
    return AddedToken(token, special=True, normalized=False)
