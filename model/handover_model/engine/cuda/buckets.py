"""The buckets of a GPU: which batches and lengths of text are captured before a server answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from handover_model.engine.functional.token_layout import Span, TokenLayout

BATCHES = (1, 2, 4, 8, 16)
LENGTH_STEP = 16  # tokens between two lengths
LENGTHS = 3  # from the shortest instruction on: room for some 32 tokens of instruction


@dataclass(frozen=True)
class Bucket:
    """A captured batch: rows are repeated up to its size, and padded up to its length."""

    layout: TokenLayout

    @property
    def rows(self) -> int:
        """Rows of a batch."""
        return self.layout.batch

    def __str__(self) -> str:
        """Name it for the log."""
        return f"batches of {self.rows} with {self.layout.length} tokens"


def make_buckets(shortest: TokenLayout, largest_batch: int) -> list[Bucket]:
    """List the buckets from the layout of one row with a short instruction on."""
    first = -(-shortest.length // LENGTH_STEP) * LENGTH_STEP
    lengths = [first + LENGTH_STEP * k for k in range(LENGTHS)]
    return [
        Bucket(stretch(shortest, batch, length))
        for batch in BATCHES
        if batch <= largest_batch
        for length in lengths
    ]


def stretch(layout: TokenLayout, batch: int, length: int) -> TokenLayout:
    """Give a layout more rows and more padding before its text."""
    more = length - layout.length
    images: tuple[Span, ...] = tuple((start + more, stop + more) for start, stop in layout.images)
    return TokenLayout(batch, length, images, layout.grids, padded=True)


def find_bucket(buckets: Sequence[Bucket], layout: TokenLayout) -> Bucket | None:
    """Find the smallest bucket that a batch of this layout fits into; None when there is none."""
    fitting = [
        bucket
        for bucket in buckets
        if bucket.rows >= layout.batch
        and bucket.layout.length >= layout.length
        and bucket.layout == stretch(layout, bucket.rows, bucket.layout.length)
    ]
    return min(fitting, key=lambda bucket: (bucket.rows, bucket.layout.length), default=None)
