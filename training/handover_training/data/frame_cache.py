"""Cache of decoded frames: one memory-mapped file per episode and camera, shared by all workers.

A file is keyed by the dataset's content and the image size, appears whole or not at all, and holds
frames after the first, fixed step of image preparation (scaling to the shorter edge), so what the
network sees is the same with and without the cache.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from handover_common import atomic_path, track
from handover_conversion.groot import GrootDataset
from handover_model.processing import ImageOptions, scale_to_edge

from handover_training.errors import TrainingError

logger = logging.getLogger(__name__)

HASH_CHARS = 16  # of the dataset's SHA-256 in a folder's name


@dataclass(frozen=True)
class FrameCache:
    """The decoded frames of one dataset."""

    dataset: GrootDataset
    folder: Path
    edge: int | None
    """Shorter side of the frames in pixels; None for frames as they are in the video"""

    def path(self, episode: int, camera: str) -> Path:
        """Return the path of an episode's file."""
        return self.folder / camera / f"episode_{episode:06d}.npy"

    def frames(self, episode: int, camera: str) -> np.ndarray:
        """Map an episode's frames into memory: (rows, H, W, 3) uint8, read only."""
        return np.load(self.path(episode, camera), mmap_mode="r", allow_pickle=False)

    def fill(self, episodes: Sequence[int], cameras: Sequence[str], workers: int) -> None:
        """Decode what is missing; an interrupted fill continues where it stopped.

        Raises DatasetError for a broken video, TrainingError when the disk is full.
        """
        jobs = [(one, camera) for one in episodes for camera in cameras]
        missing = [job for job in jobs if not self.path(*job).is_file()]
        if not missing:
            return
        logger.info("decoding %d episodes into %s", len(missing), self.folder)
        # threads are enough: decoding and scaling run outside Python's lock
        with ThreadPoolExecutor(max(1, workers)) as pool:
            waiting = [pool.submit(self._decode, *job) for job in missing]
            try:
                done = track(as_completed(waiting), "decoding", "episodes", total=len(missing))
                for episode in done:
                    episode.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _decode(self, episode: int, camera: str) -> None:
        target = self.path(episode, camera)
        try:
            with atomic_path(target) as partial:
                self._write(partial, episode, camera)
        except OSError as error:
            raise TrainingError(
                f"{self.folder} cannot be written: {error}; name a folder with more room "
                "(--cache-dir)"
            ) from error

    def _write(self, path: Path, episode: int, camera: str) -> None:
        """Write frames one by one: a full disk is then an error, not a crash of the memory map."""
        length = next(one.length for one in self.dataset.episodes if one.index == episode)
        with path.open("wb") as file:
            for row, frame in enumerate(self.dataset.read_frames(episode, camera)):
                if self.edge is not None:
                    frame = scale_to_edge(frame, self.edge)
                if row == 0:
                    shape = (length, *frame.shape)
                    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(file, header)
                file.write(np.ascontiguousarray(frame).data)


def open_cache(
    root: Path, dataset: GrootDataset, content_hash: str, options: ImageOptions
) -> FrameCache:
    """Open the cache of a dataset below `root`; nothing is decoded yet."""
    cv2.setNumThreads(1)  # one process per core is faster than threads within a frame
    edge = options.shortest_image_edge if options.use_albumentations else None
    size = "full" if edge is None else str(edge)
    name = f"{dataset.path.resolve().name}-{content_hash[:HASH_CHARS]}-{size}"
    return FrameCache(dataset, root.expanduser() / name, edge)
