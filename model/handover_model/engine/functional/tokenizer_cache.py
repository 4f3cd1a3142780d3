"""Tokenizer with a cache of prompts, since a robot repeats its instruction at every step."""

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from handover_model.processing.tokenizer import PromptTokenizer

KEPT_PROMPTS = 256
LONGEST_KEPT = 8192  # characters of a rendered prompt; longer ones are tokenized each time


@dataclass(frozen=True)
class CachedTokenizer(PromptTokenizer):
    """PromptTokenizer with a cache; its arrays are shared and read-only."""

    kept: OrderedDict[str, np.ndarray] = field(default_factory=OrderedDict, compare=False)

    def encode(self, text: str) -> np.ndarray:
        """Tokenize a rendered prompt, or return its cached ids: (S,) int64."""
        ids = self.kept.get(text)
        if ids is None:
            ids = super().encode(text)
            ids.setflags(write=False)
            if len(text) > LONGEST_KEPT:
                return ids
            self.kept[text] = ids
            if len(self.kept) > KEPT_PROMPTS:
                self.kept.popitem(last=False)
        else:
            self.kept.move_to_end(text)
        return ids


def remember_prompts(tokenizer: PromptTokenizer) -> CachedTokenizer:
    """Wrap a tokenizer in a cache; for one thread."""
    return CachedTokenizer(tokenizer.tokenizer, tokenizer.image_token, tokenizer.pad_token)
