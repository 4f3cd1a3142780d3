"""A camera's images in an HDF5 file: raw pixels, or JPEG bytes padded to one length."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from handover_conversion.hdf5.file import Hdf5Error, find_dataset, open_hdf5
from handover_conversion.video.decode import VideoError
from handover_conversion.video.images import decode_image, frame_of


@dataclass(frozen=True)
class Hdf5Images:
    """One camera's images of an episode."""

    path: Path
    key: str
    length: int

    def open(self) -> "OpenHdf5Images":
        """Count the images. Raises VideoError."""
        try:
            with open_hdf5(self.path) as file:
                dataset = find_dataset(file, self.key)
                if dataset is None:
                    raise VideoError(f"has no {self.key!r}")
                return OpenHdf5Images(self, int(dataset.shape[0]) if dataset.shape else 0)
        except Hdf5Error as error:
            raise VideoError(str(error)) from None


@dataclass(frozen=True)
class OpenHdf5Images:
    """A camera whose images are counted; they are read one at a time."""

    source: Hdf5Images
    count: int

    def read(self, rows: np.ndarray) -> Iterator[tuple[int, av.VideoFrame]]:
        """Read the images of ascending rows. Raises VideoError."""
        try:
            with open_hdf5(self.source.path) as file:
                dataset = find_dataset(file, self.source.key)
                assert dataset is not None, "open() found it"
                for row in rows.tolist():
                    try:
                        yield row, _frame(np.asarray(dataset[row]))
                    except VideoError as error:
                        raise VideoError(f"{self.source.key}: row {row}: {error}") from None
        except Hdf5Error as error:
            raise VideoError(f"{self.source.key}: {error}") from None


def _frame(stored: np.ndarray) -> av.VideoFrame:
    """Take an image as it is stored: (H, W, 3) uint8, or (N,) bytes of a JPEG or PNG.

    The padding behind a JPEG is zeros, and its last byte is not: /compress_len, whose order of
    cameras nothing states, is not needed.
    """
    if stored.ndim == 1 and stored.dtype.kind in "ui":
        return decode_image(stored.astype(np.uint8).tobytes().rstrip(b"\0"))
    if stored.ndim == 0 and stored.dtype.kind in "SO":
        return decode_image(bytes(stored.item()).rstrip(b"\0"))
    return frame_of(stored)
