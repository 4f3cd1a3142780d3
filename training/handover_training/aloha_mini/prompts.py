"""The prompts of the two tasks as token ids, for images of the small network's size."""

import numpy as np
import torch
from handover_model.processing import formalize, render_prompt
from torch import Tensor

from handover_training.aloha_mini.data.snapshots import TASK_TEXTS
from handover_training.aloha_mini.network import IMAGE_EDGE, PIXELS_PER_TOKEN, prompt_tokenizer


class TaskPrompts:
    """Token ids of TASK_TEXTS, padded to one length."""

    def __init__(self) -> None:
        tokens = (IMAGE_EDGE // PIXELS_PER_TOKEN) ** 2
        ids, mask = prompt_tokenizer().encode_batch(
            [render_prompt(formalize(text), [tokens]) for text in TASK_TEXTS]
        )
        self._ids, self._mask = torch.from_numpy(ids), torch.from_numpy(mask)

    def batch(self, tasks: np.ndarray) -> tuple[Tensor, Tensor]:
        """Give ids and mask of a batch: (B,) int64 -> (B, S), (B, S)."""
        chosen = torch.from_numpy(tasks)
        return self._ids[chosen], self._mask[chosen]
