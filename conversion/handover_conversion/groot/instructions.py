"""Instructions of episodes: the text at each row, from the column that a language key names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from handover_proto import LANGUAGE_KEY

from handover_conversion.errors import DatasetError
from handover_conversion.groot import rows as episode_rows
from handover_conversion.groot.layout import Layout
from handover_conversion.groot.metadata import ANNOTATION, EpisodeEntry

TASK_KEY = "task"  # LeRobot's own: task_index, or the only instruction of the list of episodes
_TASK_COLUMN = "task_index"


@dataclass(frozen=True)
class Instructions:
    """The instructions of a dataset.

    A language key "annotation.NAME" is modality.json's annotation NAME, whose column holds indices
    of the dataset's tasks, or texts; "task" is LeRobot's own.
    """

    path: Path
    annotations: Mapping[str, dict[str, Any]]
    texts: dict[int, str] = field(repr=False)
    layout: Layout = field(repr=False)

    def default_key(self) -> str:
        """Return the key of a dataset that nobody named one for.

        ALOHA's, or the dataset's only annotation that tells a task, or LeRobot's own.
        """
        if LANGUAGE_KEY in self.keys():
            return LANGUAGE_KEY
        named = [key for key in self.keys() if key.endswith("task_description")]
        return named[0] if len(named) == 1 else TASK_KEY

    def keys(self) -> list[str]:
        """List the language keys that a modality config may name."""
        return [TASK_KEY, *(ANNOTATION + name for name in self.annotations)]

    def check_key(self, key: str) -> None:
        """Raise DatasetError for a language key that the dataset does not have."""
        if key in self.keys() or (key == LANGUAGE_KEY and not self.annotations):
            return
        raise DatasetError(
            f"{self.path}: the modality config reads the instruction from {key!r}, expected one "
            f"of {', '.join(self.keys())}"
        )

    def column(self, key: str, there: list[str]) -> str | None:
        """Return the column of a key among those of a file; None for the list's instruction.

        Raises DatasetError when the column is missing.
        """
        self.check_key(key)
        described = self.annotations.get(key.removeprefix(ANNOTATION), {})
        column = described.get("original_key") or key
        if key != TASK_KEY and column in there:
            return column
        if key not in (TASK_KEY, LANGUAGE_KEY):
            raise DatasetError(
                f"{self.path}: the instruction {key!r} is in the column {column!r}, which the rows "
                "do not have"
            )
        return _TASK_COLUMN if _TASK_COLUMN in there else None

    def read(self, entry: EpisodeEntry, key: str | None = None) -> tuple[str, ...]:
        """Return the instruction at each row of an episode. Raises DatasetError."""
        place = self.layout.rows(entry.index)
        there = episode_rows.column_names(self.path, place)
        column = self.column(key or self.default_key(), there)
        if column is None:
            return (self._listed(entry),) * entry.length
        file = self.path / place.name
        table = episode_rows.read_table(self.path, place, entry.index, [column])
        texts = episode_rows.texts(file, table, column)
        if texts is not None:
            return tuple(texts)
        values = episode_rows.numbers(file, table, [column])[column]
        if values.shape[1:] != (1,) or (values != np.floor(values)).any():
            raise DatasetError(f"{file}: {column}: expected one index of the tasks per row")
        indices = values[:, 0].astype(np.int64).tolist()
        for index in dict.fromkeys(indices):
            if index not in self.texts:
                raise DatasetError(f"{file}: {column} {index} is not in the dataset's tasks")
        return tuple(self.texts[index] for index in indices)

    def _listed(self, entry: EpisodeEntry) -> str:
        if len(entry.tasks) != 1:
            raise DatasetError(
                f"{self.path}: episode {entry.index} has {len(entry.tasks)} instructions in its "
                f"list and no column {_TASK_COLUMN} that tells where each is in force"
            )
        return entry.tasks[0]
