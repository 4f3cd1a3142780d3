"""Buckets: the batch sizes and text lengths that are captured on a GPU at load."""

from collections.abc import Sequence
from dataclasses import dataclass

from handover_model.engine.functional.token_layout import Span, TokenLayout

BATCHES = (1, 2, 4, 8, 16)
GPU_BATCH = BATCHES[-1]  # requests that a GPU computes together
LENGTH_STEP = 16  # tokens between two lengths
LENGTHS = 3  # from the shortest instruction on: up to some 32 tokens more


@dataclass(frozen=True)
class Bucket:
    """A captured batch: rows are repeated up to its size, and padded up to its length."""

    layout: TokenLayout

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.layout.batch

    def __str__(self) -> str:
        """Return its name for the log."""
        return f"batches of {self.rows} with {self.layout.length} tokens"


def make_buckets(shortest: TokenLayout, largest_batch: int) -> list[Bucket]:
    """List the buckets, starting from the layout of one row with a short instruction."""
    first = -(-shortest.length // LENGTH_STEP) * LENGTH_STEP
    lengths = [first + LENGTH_STEP * k for k in range(LENGTHS)]
    return [
        Bucket(stretch(shortest, batch, length))
        for batch in BATCHES
        if batch <= largest_batch
        for length in lengths
    ]


def stretch(layout: TokenLayout, batch: int, length: int) -> TokenLayout:
    """Return a layout with more rows and more padding before its text."""
    more = length - layout.length
    images: tuple[Span, ...] = tuple((start + more, stop + more) for start, stop in layout.images)
    return TokenLayout(batch, length, images, layout.grids, padded=True)


def find_bucket(buckets: Sequence[Bucket], layout: TokenLayout) -> Bucket | None:
    """Find the smallest bucket for a batch of this layout; None if none fits."""
    fitting = [
        bucket
        for bucket in buckets
        if bucket.rows >= layout.batch
        and bucket.layout.length >= layout.length
        and bucket.layout == stretch(layout, bucket.rows, bucket.layout.length)
    ]
    return min(fitting, key=lambda bucket: (bucket.rows, bucket.layout.length), default=None)
