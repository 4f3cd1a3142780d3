"""A camera whose images are in the rows, as LeRobot records without videos: PNG or JPEG bytes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from handover_conversion.errors import DatasetError
from handover_conversion.lerobot.row_groups import groups_of
from handover_conversion.locations import inner_name, regular_file
from handover_conversion.video.decode import VideoError
from handover_conversion.video.images import decode_image

_BATCH_ROWS = 32  # images in memory at a time


@dataclass(frozen=True)
class RowImages:
    """One camera's images of an episode, in a column of its parquet file."""

    root: Path
    path: Path
    episode: int
    key: str
    length: int
    shared: bool  # other episodes are in the same file

    def open(self) -> "OpenRowImages":
        """Check that the column holds images. Raises VideoError."""
        if not self.path.is_file():
            raise VideoError("the file is missing")
        try:
            with pq.ParquetFile(self.path) as file:
                if self.key not in file.schema_arrow.names:
                    raise VideoError(f"has no column {self.key!r}")
                kind = file.schema_arrow.field(self.key).type
        except (OSError, pa.ArrowException) as error:
            raise VideoError(f"cannot be read: {str(error).splitlines()[0]}") from None
        if not (pa.types.is_struct(kind) or pa.types.is_binary(kind)):
            raise VideoError(f"{self.key}: holds {kind}, expected images")
        return OpenRowImages(self)


@dataclass(frozen=True)
class OpenRowImages:
    """A column of images, read a few rows at a time."""

    source: RowImages

    @property
    def count(self) -> int:
        return self.source.length  # one a row: the rows are counted where they are read

    def read(self, rows: np.ndarray) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decode the images of ascending rows. Raises VideoError."""
        waiting = sorted(rows.tolist(), reverse=True)
        for row, image in enumerate(self._images()):
            if not waiting:
                return
            if row != waiting[-1]:
                continue
            waiting.pop()
            try:
                yield row, decode_image(self._content(image))
            except VideoError as error:
                raise VideoError(f"{self.source.key}: row {row}: {error}") from None
        if waiting:
            raise VideoError(f"{self.source.key}: has no row {waiting[-1]}")

    def _images(self) -> Iterator[pa.Scalar]:
        source = self.source
        try:
            with pq.ParquetFile(source.path) as file:
                wanted = [source.key, *(["episode_index"] if source.shared else [])]
                groups = groups_of(file, source.episode) if source.shared else None
                for batch in file.iter_batches(_BATCH_ROWS, groups, wanted):
                    column = batch.column(source.key)
                    if source.shared:
                        numbers = batch.column("episode_index").to_numpy(zero_copy_only=False)
                        column = column.filter(pa.array(numbers == source.episode))
                    yield from column
        except (OSError, pa.ArrowException) as error:
            raise VideoError(f"cannot be read: {str(error).splitlines()[0]}") from None

    def _content(self, image: pa.Scalar) -> bytes:
        """Take an image's bytes, from the row or from the file inside the dataset that it names."""
        held = image.as_py()
        content = held.get("bytes") if isinstance(held, dict) else held
        if content:
            return content
        name = held.get("path") if isinstance(held, dict) else None
        if not name:
            raise VideoError("the row has no image")
        try:
            return regular_file(self.source.root, inner_name(str(name))).read_bytes()
        except (DatasetError, ValueError, OSError) as error:
            raise VideoError(f"the row names its image, which cannot be read: {error}") from None
