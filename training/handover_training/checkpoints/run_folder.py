"""Ownership of an output folder, and where a run starts: from the beginning or at a checkpoint.

The same command in the folder of an interrupted run continues from its last complete checkpoint. A
finished run, or one of another command, is left alone unless the user says what to do with it.
"""

import json
import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from handover_common import final_name, lock_file
from handover_model.checkpoints import METADATA_FILE
from handover_model.network import CONFIG_FILE, EAGLE_FILES
from handover_model.processing import (
    EMBODIMENT_FILE,
    PROCESSOR_FILE,
    STATISTICS_FILE,
    TOKENIZER_FILES,
)

from handover_training.checkpoints.folders import (
    BEST_FILE,
    BEST_LINK,
    STAGING,
    TRASH,
    discard,
    latest_whole,
    list_checkpoints,
    sweep,
    write_json,
)
from handover_training.checkpoints.record import RECORD_FILE
from handover_training.errors import RunFolderError

logger = logging.getLogger(__name__)

RUN_FILE = "run.json"
LOCK_FILE = ".lock"
CURVES = "runs"  # TensorBoard's folder, as transformers names it
FOLDERS = (CURVES, STAGING, TRASH)
_FILES = {
    *(RUN_FILE, BEST_FILE, BEST_LINK, RECORD_FILE, METADATA_FILE, CONFIG_FILE, *EAGLE_FILES),
    *(PROCESSOR_FILE, STATISTICS_FILE, EMBODIMENT_FILE, *TOKENIZER_FILES),
}
_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?")

# what --resume may change of a run; everything else decides what its weights mean
CHANGEABLE = (
    "max_steps",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_ratio",
    "weight_decay",
    "max_grad_norm",
    "save_steps",
    "eval_steps",
)


@dataclass(frozen=True)
class RunStart:
    """How a run begins."""

    checkpoint: Path | None
    """To continue from; None for the beginning"""
    finished: bool = False
    """Nothing is left to do"""


class RunFolder:
    """One output folder, owned by one run at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def lock(self) -> None:
        """Own the folder until the process ends; RunFolderError when another run does."""
        try:
            self._lock = lock_file(self.path / LOCK_FILE)
        except OSError as error:
            raise RunFolderError(
                f"cannot write to {self.path}: {error.strerror} (--output-dir)"
            ) from None
        if self._lock is None:
            raise RunFolderError(
                f"another run is at work in {self.path}; wait for it, or choose another folder "
                "(--output-dir)"
            )

    def release(self) -> None:
        """Let another run have the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def start(self, identity: Mapping[str, Any], *, resume: bool, overwrite: bool) -> RunStart:
        """Decide how a run with these settings begins; RunFolderError when it must not.

        identity: the settings that decide the run's result, as JSON values.
        """
        if overwrite and (self.path / RUN_FILE).is_file():
            self._clear()
        before = self._read()
        if before is None:
            self._refuse_strangers()
            self._write(identity, finished=False)
            return RunStart(None)
        sweep(self.path)
        changed = _differences(before["settings"], identity)
        if changed and not (resume and set(changed) <= set(CHANGEABLE)):
            raise RunFolderError(self._refusal(changed, resume))
        if before["finished"] and not changed:
            if not resume:
                raise RunFolderError(
                    f"{self.path} holds a finished run of this command; --resume with more "
                    "--max-steps continues it, --overwrite starts over"
                )
            return RunStart(latest_whole(self.path), finished=True)
        self._write(identity, finished=False)
        return RunStart(latest_whole(self.path))

    def leave_no_trace(self) -> None:
        """Forget a run that wrote nothing, so that a corrected command is not refused."""
        written = {path.name for path in self.path.iterdir()} - {LOCK_FILE, RUN_FILE}
        if self._lock is not None and not written:
            (self.path / RUN_FILE).unlink(missing_ok=True)

    def is_finished(self) -> bool:
        """Return whether the folder holds a complete run."""
        before = self._read()
        return before is not None and before["finished"]

    def finish(self, identity: Mapping[str, Any]) -> None:
        """Record that the run is complete."""
        self._write(identity, finished=True)

    def _read(self) -> dict[str, Any] | None:
        path = self.path / RUN_FILE
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return {"settings": dict(content["settings"]), "finished": bool(content["finished"])}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"{path} cannot be read: {error!r}; --overwrite starts over, or choose another "
                "folder (--output-dir)"
            ) from error

    def _write(self, identity: Mapping[str, Any], *, finished: bool) -> None:
        write_json(self.path / RUN_FILE, {"settings": dict(identity), "finished": finished})

    def _refuse_strangers(self, ours: Collection[Path] = ()) -> None:
        known = {self.path / LOCK_FILE, *ours}
        strangers = sorted(path.name for path in self.path.iterdir() if path not in known)
        if strangers:
            raise RunFolderError(
                f"{self.path} holds files that no run wrote ({', '.join(strangers[:5])}); "
                "choose another folder (--output-dir)"
            )

    def _refusal(self, changed: list[str], resume: bool) -> str:
        reason = f"{self.path} holds a run with other settings: {', '.join(changed)}; "
        if resume:
            return reason + f"--resume may change only {', '.join(CHANGEABLE)}"
        flags = "--resume or --overwrite" if set(changed) <= set(CHANGEABLE) else "--overwrite"
        return reason + f"choose another folder (--output-dir), or add {flags}"

    def _clear(self) -> None:
        """Remove an earlier run, or nothing where there is anything that is not its own."""
        checkpoints = list_checkpoints(self.path)
        files = [path for path in self.path.iterdir() if _is_ours(path)]
        self._refuse_strangers([*checkpoints, *files, *(self.path / name for name in FOLDERS)])
        logger.info("removing the earlier run in %s", self.path)
        for checkpoint in checkpoints:
            discard(checkpoint)
        discard(self.path / CURVES)
        sweep(self.path)
        for path in sorted(files, key=lambda path: path.name == RUN_FILE):  # that one last
            path.unlink()


def _is_ours(path: Path) -> bool:
    """Return whether a run writes such a file or link, or its forerunner."""
    name = final_name(path.name).removeprefix(".").removesuffix(".new")
    known = name in _FILES or _WEIGHTS.fullmatch(name) is not None
    return known and (path.is_file() or path.is_symlink())


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names = sorted(set(before) | set(now))
    return [name for name in names if before.get(name) != now.get(name)]
