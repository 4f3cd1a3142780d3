"""Checkpoint-N folders of a run: written aside, then renamed; only complete ones are ever read.

A folder is complete when the list that is written into it last matches every file's size.
"""

import json
import logging
import os
import re
import shutil
from pathlib import Path

from handover_common import PARTIAL, atomic_path, link_or_copy, sync, write_text

logger = logging.getLogger(__name__)

STAGING = ".staging"  # where a checkpoint is written before it is renamed
TRASH = ".trash"  # where one goes before it is deleted
MANIFEST = "files.json"
STATE_FILE = "trainer_state.json"  # transformers' name
BEST_METRIC = (
    "open_loop_mae"  # the nearest to success: benchmarks/results/open_loop_correlation.json
)
BEST_FILE = "best_checkpoint.json"
BEST_LINK = "best"
_NAME = re.compile(r"checkpoint-(\d+)")


def checkpoint_path(folder: Path, step: int) -> Path:
    """Name the checkpoint of a step."""
    return folder / f"checkpoint-{step}"


def step_of(checkpoint: Path) -> int:
    """Read the step out of a checkpoint's name."""
    found = _NAME.fullmatch(checkpoint.name)
    assert found is not None, checkpoint
    return int(found.group(1))


def list_checkpoints(folder: Path) -> list[Path]:
    """List the checkpoint-N folders, complete or not, oldest first."""
    found = [path for path in folder.glob("checkpoint-*") if _NAME.fullmatch(path.name)]
    return sorted(found, key=step_of)


def latest_whole(folder: Path) -> Path | None:
    """Find the newest checkpoint with all its files; incomplete ones are logged."""
    for path in reversed(list_checkpoints(folder)):
        problem = what_is_missing(path)
        if problem is None:
            return path
        logger.warning("%s is skipped: %s", path, problem)
    return None


def what_is_missing(checkpoint: Path) -> str | None:
    """Return why a checkpoint is incomplete, or None when it is complete."""
    try:
        sizes = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"it has no readable {MANIFEST}, so writing it was not finished"
    for name, size in sizes.items():
        path = checkpoint / name
        if not path.is_file() or path.stat().st_size != size:
            return f"{name} is missing or not {size} bytes long"
    return None


def publish(staged: Path, target: Path) -> None:
    """Make a finished checkpoint visible: list its files, force them to disk, rename the folder."""
    files = sorted(path for path in staged.rglob("*") if path.is_file())
    sizes = {path.relative_to(staged).as_posix(): path.stat().st_size for path in files}
    for path in files:
        sync(path)
    write_json(staged / MANIFEST, sizes)
    sync(staged)
    discard(target)  # an incomplete one of the same step
    staged.rename(target)
    sync(target.parent)


def rotate(folder: Path, keep: int, best: int | None) -> None:
    """Delete the oldest checkpoints beyond `keep`; the best one (by its step) always stays."""
    paths = list_checkpoints(folder)
    spare = [path for path in paths[:-1] if step_of(path) != best]
    for path in spare[: max(0, len(paths) - keep)]:
        discard(path)


def discard(path: Path) -> None:
    """Delete a folder; it disappears at once, so nothing half-deleted is ever seen."""
    if not path.exists():
        return
    trash = path.parent / TRASH
    trash.mkdir(exist_ok=True)
    moved = trash / f"{path.name}-{os.getpid()}"
    path.rename(moved)
    shutil.rmtree(moved, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what an interrupted run left half-written or half-deleted."""
    for name in (STAGING, TRASH):
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in folder.glob(f".*{PARTIAL}"):
        path.unlink()


def mark_if_best(checkpoint: Path) -> None:
    """Mark a checkpoint as its run's best where its state says so."""
    state = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
    step = step_of(checkpoint)
    if state["best_global_step"] == step:
        mark_best(checkpoint.parent, step, BEST_METRIC, float(state["best_metric"]))


def best_is_by(folder: Path, metric: str) -> bool:
    """Return whether a run's best checkpoint, where it has one, was chosen by this metric."""
    best = folder / BEST_FILE
    return not best.is_file() or metric in json.loads(best.read_text(encoding="utf-8"))


def mark_best(folder: Path, step: int, metric: str, value: float) -> None:
    """Record the best checkpoint in best_checkpoint.json, and point the link `best` to it."""
    target = checkpoint_path(folder, step)
    write_json(folder / BEST_FILE, {"checkpoint": target.name, "step": step, metric: value})
    link = folder / f".{BEST_LINK}.new"
    link.unlink(missing_ok=True)
    link.symlink_to(target.name, target_is_directory=True)
    link.replace(folder / BEST_LINK)


def link_files(checkpoint: Path, folder: Path, left_out: tuple[str, ...]) -> None:
    """Put a checkpoint's files into `folder`, one by one; linked if possible, else copied."""
    for path in sorted(path for path in checkpoint.iterdir() if path.is_file()):
        if path.name in left_out:
            continue
        with atomic_path(folder / path.name) as fresh:
            link_or_copy(path, fresh)


def write_json(path: Path, content: object) -> None:
    """Write a JSON file that is there in full or not at all; settings may be infinite."""
    write_text(path, json.dumps(content, indent=2))
