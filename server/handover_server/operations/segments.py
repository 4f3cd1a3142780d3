"""Segment files of a request recording: rotated by size, the oldest deleted beyond a limit."""

import contextlib
import os
from pathlib import Path

from handover_proto import segment_path, segment_start, segments_of

from handover_server.errors import ServingError


class SegmentWriter:
    """Writes frames into segment files of a folder, readable by this user alone.

    A writer begins its own segment: what a killed server left torn is never appended to. Every
    method except the constructor raises OSError, for instance for a full disk.
    """

    def __init__(self, folder: Path, max_bytes: int, segment_bytes: int) -> None:
        """Raise ServingError for a folder that cannot be written."""
        self._folder = folder
        self._max_bytes, self._segment_bytes = max_bytes, segment_bytes
        self._file: int | None = None
        self._size = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            known = segments_of(folder)
            self._number = int(known[-1].stem) if known else 0
            self._sizes = {path: path.stat().st_size for path in known}
        except OSError as error:
            raise ServingError(f"--record {folder} cannot be used: {error.strerror}") from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ServingError(f"--record {folder} cannot be used: this user may not write there")

    @property
    def is_full(self) -> bool:
        """Whether a new segment is due: there is none, or it has reached its size."""
        return self._file is None or self._size >= self._segment_bytes

    def begin(self, first: bytes) -> None:
        """Begin a segment with the frames `first`, deleting the oldest segments for room."""
        self.close()
        while self._file is None:
            self._number += 1
            self._path = segment_path(self._folder, self._number)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            with contextlib.suppress(FileExistsError):  # of another server that records here
                self._file = os.open(self._path, flags, 0o600)
        self._sizes[self._path] = self._size = 0
        self.write(segment_start() + first)

    def write(self, frames: bytes) -> None:
        """Append frames; the operating system has them then, even if this process is killed."""
        assert self._file is not None
        rest = memoryview(frames)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self._size += len(frames)
        self._sizes[self._path] = self._size
        self._delete_oldest()

    def close(self) -> None:
        """Flush what was written to the disk, and end the segment."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                os.fsync(file)
            finally:
                os.close(file)

    def _delete_oldest(self) -> None:
        while sum(self._sizes.values()) > self._max_bytes and len(self._sizes) > 1:
            oldest = min(self._sizes)
            with contextlib.suppress(FileNotFoundError):
                oldest.unlink()
            del self._sizes[oldest]
