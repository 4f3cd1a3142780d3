"""A tokenizer that remembers the latest prompts: a robot repeats its instruction at every step."""

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from handover_model.processing.tokenizer import PromptTokenizer

KEPT_PROMPTS = 256
LONGEST_KEPT = 8192  # characters of a rendered prompt; longer ones are tokenised each time


@dataclass(frozen=True)
class CachedTokenizer(PromptTokenizer):
    """Gives what PromptTokenizer gives; the arrays are shared and read-only."""

    kept: OrderedDict[str, np.ndarray] = field(default_factory=OrderedDict, compare=False)

    def encode(self, text: str) -> np.ndarray:
        """Tokenise a rendered prompt, or take the ids from an earlier time: (S,) int64."""
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
    """Put a memory around a tokenizer; for one thread."""
    return CachedTokenizer(tokenizer.tokenizer, tokenizer.image_token, tokenizer.pad_token)
