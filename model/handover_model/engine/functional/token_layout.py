"""Token layout: the places of text and images in a row, which give a chunk's tensors their shapes.

With the padding on the left, the image tokens of a prompt have the same places in every row of a
batch whose frames have the same sizes. So a layout is known before the network runs, nothing in the
network depends on the values of its inputs, and every cut is a slice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Span = tuple[int, int]  # first place, and the one after the last


@dataclass(frozen=True)
class TokenLayout:
    """The shapes of a batch: two batches of one layout run through one graph."""

    batch: int
    length: int
    """Tokens of a row, padding included"""
    images: tuple[Span, ...]
    """The places of each image's tokens"""
    grids: tuple[Span, ...]
    """(down, right) tokens of each image"""
    padded: bool = False
    """Whether a row may begin with padding"""
    known: int = 0
    """Tokens at the row's start that are computed in advance: see prompt_kv_cache"""

    @property
    def texts(self) -> tuple[Span, ...]:
        """The places between the images, after the start; none is empty."""
        starts = (self.known, *(stop for _, stop in self.images))
        stops = (*(start for start, _ in self.images), self.length)
        return tuple(span for span in zip(starts, stops, strict=True) if span[0] < span[1])

    @property
    def text_tokens(self) -> int:
        """Number of text tokens after the start."""
        return sum(stop - start for start, stop in self.texts)


def find_layout(
    rows: Sequence[np.ndarray], grids: Sequence[Span], image_token: int, multiple: int = 1
) -> TokenLayout | None:
    """Find the layout of prompts, each (S,) int64, whose images have these grids of tokens.

    multiple: rows are padded to a multiple of it. None when the prompts' image tokens are not
    where the grids say, or there are none: the reference path then has to compute them.
    """
    longest = max(len(row) for row in rows)
    length = -(-longest // multiple) * multiple
    places = {tuple(image_places(row, grids, image_token, length)) for row in rows}
    if len(places) != 1 or not grids:
        return None
    (images,) = places
    if not images:
        return None
    padded = any(len(row) < length for row in rows)
    return TokenLayout(len(rows), length, images, tuple(grids), padded)


def image_places(
    row: np.ndarray, grids: Sequence[Span], image_token: int, length: int
) -> list[Span]:
    """Find each image's tokens in a prompt padded to `length`; [] if they do not fit."""
    offset = length - len(row)
    places = np.flatnonzero(row == image_token)
    spans: list[Span] = []
    taken = 0
    for down, right in grids:
        count = down * right
        run = places[taken : taken + count]
        if len(run) < count or run[-1] - run[0] != count - 1:
            return []
        spans.append((int(run[0]) + offset, int(run[-1]) + 1 + offset))
        taken += count
    return spans if taken == len(places) else []
