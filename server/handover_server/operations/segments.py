"""Segment files of a request recording: rotated by size, their room shared by the clients.

Each client's records have segments of their own. Beyond the limit, the oldest segment of the client
that holds most is deleted: who floods the recording pushes out records of its own, and all others
keep at least an equal share of the room.
"""

import contextlib
import os
from collections import Counter
from pathlib import Path

from handover_proto import owner_digest, segment_owner, segment_path, segment_start, segments_of

from handover_server.errors import ServingError

_LEAST_SEGMENTS = 4  # of a client's share, so that deleting its oldest keeps most of it


class SegmentWriter:
    """Writes frames into segment files of a folder, readable by this user alone.

    A writer begins segments of its own: what a killed server left torn is never appended to. No
    file stays open. Every method except the constructor raises OSError, as for a full disk.
    """

    def __init__(self, folder: Path, max_bytes: int, segment_bytes: int) -> None:
        """Raise ServingError for a folder that cannot be written."""
        self._folder = folder
        self._max_bytes, self._segment_bytes = max_bytes, segment_bytes
        self._current: dict[str, Path] = {}  # that an owner's records go to
        self._sizes: dict[str, dict[Path, int]] = {}  # each owner's segments, oldest first
        self._held: Counter[str] = Counter()  # bytes of them together
        self._number = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in segments_of(folder):
                self._number = int(path.stem.partition("-")[0])
                self._grow(segment_owner(path), path, path.stat().st_size)
        except OSError as error:
            raise ServingError(f"--record {folder} cannot be used: {error.strerror}") from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ServingError(f"--record {folder} cannot be used: this user may not write there")

    def write(self, client: str, frames: bytes, first: bytes) -> None:
        """Append a client's frames; a segment that is begun for them begins with `first`.

        The operating system has them then, even if this process is killed.
        """
        owner = owner_digest(client)
        path = self._current.get(owner)
        if path is not None and not path.exists():  # somebody has cleared the folder
            self._forget(owner, path)
            path = None
        if path is None:
            path = self._begin(owner, first)
        self._append(owner, path, frames)
        if self._sizes[owner][path] >= self._most_of_segment():
            self._end(owner)
        self._delete_surplus()

    def close(self) -> None:
        """Flush what was written to the disk, and end every segment."""
        try:
            for path in self._current.values():
                _flush(path)
        finally:
            self._current.clear()

    def _begin(self, owner: str, first: bytes) -> Path:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        while True:
            self._number += 1
            path = segment_path(self._folder, self._number, owner)
            with contextlib.suppress(FileExistsError):  # of another server that records here
                os.close(os.open(path, flags, 0o600))
                break
        self._current[owner] = path
        self._append(owner, path, segment_start() + first)
        return path

    def _append(self, owner: str, path: Path, frames: bytes) -> None:
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            rest = memoryview(frames)
            while rest:
                rest = rest[os.write(file, rest) :]
        finally:
            os.close(file)
        self._grow(owner, path, len(frames))

    def _grow(self, owner: str, path: Path, size: int) -> None:
        segments = self._sizes.setdefault(owner, {})
        segments[path] = segments.get(path, 0) + size
        self._held[owner] += size

    def _most_of_segment(self) -> int:
        """Return the size at which a segment is full: a part of what each owner may hold."""
        return min(self._segment_bytes, self._max_bytes // (_LEAST_SEGMENTS * len(self._sizes)))

    def _end(self, owner: str) -> None:
        if (path := self._current.pop(owner, None)) is not None:
            _flush(path)

    def _delete_surplus(self) -> None:
        while self._held.total() > self._max_bytes and not self._is_one_alone():
            owner = max(self._held, key=self._held.__getitem__)
            oldest = next(iter(self._sizes[owner]))
            with contextlib.suppress(FileNotFoundError):
                oldest.unlink()
            self._forget(owner, oldest)

    def _is_one_alone(self) -> bool:
        return len(self._sizes) == 1 and len(next(iter(self._sizes.values()))) == 1

    def _forget(self, owner: str, path: Path) -> None:
        """Count a deleted segment no longer."""
        if self._current.get(owner) == path:
            del self._current[owner]
        segments = self._sizes[owner]
        self._held[owner] -= segments.pop(path)
        if not segments:
            del self._sizes[owner], self._held[owner]


def _flush(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        file = os.open(path, os.O_WRONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
