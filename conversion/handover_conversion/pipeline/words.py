"""Instructions of a conversion: which recorded column has them, and which are given instead."""

from collections.abc import Mapping
from dataclasses import dataclass

from handover_conversion.errors import DatasetError
from handover_conversion.groot.metadata import TASK_ANNOTATION
from handover_conversion.recordings import Recordings

TASK_COLUMN = "task_index"


@dataclass(frozen=True)
class Words:
    """The instructions of a dataset, and the columns of indices that name them."""

    tasks: Mapping[int, str]
    column: str | None  # of the instruction; None: every step has task 0, or the only one
    annotations: Mapping[str, str]  # other annotations of the source's modality.json: their columns

    @property
    def columns(self) -> tuple[str, ...]:
        """The recorded columns of indices, each once."""
        own = () if self.column is None else (self.column,)
        return tuple(dict.fromkeys((*own, *self.annotations.values())))

    @property
    def annotation_columns(self) -> dict[str, str]:
        """The recorded columns by their names in the output; not those of the instruction."""
        return {
            f"annotation.{name}": column
            for name, column in self.annotations.items()
            if column != self.column
        }

    @property
    def empty(self) -> frozenset[int]:
        """The tasks without a text."""
        return frozenset(index for index, text in self.tasks.items() if not text.strip())

    @property
    def only(self) -> int:
        """The task of every step, where no column tells."""
        return next(iter(self.tasks), 0)


def find_words(recordings: Recordings, task: str | None, where_empty: bool) -> Words:
    """Find the instructions; `task` takes the place of all, or of the empty ones.

    The column is the one that the source's modality.json names for the instruction, or task_index.
    Raises DatasetError where several instructions exist and no column tells which is whose.
    """
    if task is not None and not where_empty:
        return Words({0: task}, None, {})
    tasks = recordings.tasks
    if task is not None:
        tasks = {index: text if text.strip() else task for index, text in tasks.items()}
    features = recordings.source.features
    annotated = {}
    for name, entry in (recordings.source.modality or {}).get("annotation", {}).items():
        column = entry.get("original_key") or f"annotation.{name}"
        if column in features and features[column].dtype.startswith("int"):
            annotated[name] = column
    column = annotated.pop(TASK_ANNOTATION, TASK_COLUMN)
    if column in features:
        return Words(tasks, column, annotated)
    if len(tasks) != 1:
        raise DatasetError(
            f"{recordings.root} has {len(tasks)} instructions and no column {column!r} that says "
            "which is whose: --task gives one"
        )
    return Words(tasks, None, annotated)
