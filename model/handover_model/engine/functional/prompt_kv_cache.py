"""Cache of keys and values of a prompt's start, per instruction.

Text before the first image cannot see it, so its keys and values in the language model, and what
the action head's text blocks read of it, do not depend on the frame. They are always computed
separately, cached or not, so that the first chunk for an instruction equals the later ones.
"""

from collections import OrderedDict
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from handover_model.engine.functional.chunk import EngineWeights, PromptStart
from handover_model.engine.functional.language import make_rotation, read
from handover_model.engine.functional.token_layout import TokenLayout
from handover_model.network.backbone import LanguageModel

KEPT_STARTS = 32


def split_start(layout: TokenLayout) -> TokenLayout:
    """Split the text before the first image off a layout of one row without padding."""
    assert layout.batch == 1
    assert not layout.padded
    return replace(layout, known=layout.images[0][0])


def make_start(weights: EngineWeights, model: LanguageModel, ids: Tensor) -> PromptStart:
    """Compute a start: (1, tokens) int64."""
    length = ids.shape[1]
    whole = TokenLayout(batch=1, length=length, images=(), grids=())
    hidden = functional.embedding(ids, weights.language.embeddings)
    rotation = make_rotation(model, whole, hidden.dtype)
    features, past = read(weights.language, hidden, rotation, None)
    head = weights.head
    features = features.to(head.dtype)
    if head.features is not None:
        features = head.features(features)
    memory = None if head.text_memory is None else head.text_memory(features)
    return PromptStart(tuple(past), memory)


class PromptStarts:
    """Cache of the starts of the latest instructions, at most KEPT_STARTS."""

    def __init__(self, weights: EngineWeights, model: LanguageModel) -> None:
        self._weights, self._model = weights, model
        self.kept: OrderedDict[bytes, PromptStart] = OrderedDict()

    def get(self, ids: Tensor) -> PromptStart:
        """Return the start of (1, tokens) int64 ids on the CPU."""
        key = ids.numpy().tobytes()
        if key not in self.kept:
            device = self._weights.language.embeddings.device
            with torch.inference_mode(False), torch.no_grad():
                self.kept[key] = make_start(self._weights, self._model, ids.clone().to(device))
            if len(self.kept) > KEPT_STARTS:
                self.kept.popitem(last=False)
        self.kept.move_to_end(key)
        return self.kept[key]
