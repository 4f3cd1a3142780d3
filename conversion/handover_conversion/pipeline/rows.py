"""Reader of one recorded episode's parquet rows, which reports everything that is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from handover_conversion.errors import DatasetError
from handover_conversion.lerobot.dataset import RowsSpan
from handover_conversion.locations import is_lfs_pointer

STATE = "observation.state"
ACTION = "action"
_INDEX_COLUMNS = ("frame_index", "episode_index", "task_index")
_REQUIRED = (STATE, ACTION, "timestamp", *_INDEX_COLUMNS)
_MOST_NAMED_ROWS = 5


class RowsError(DatasetError):
    """Unusable rows; `problems` are the reasons."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class RowFormat:
    """Form that every row of a dataset should have."""

    columns: tuple[str, ...]  # those of info.json; all of them must exist
    state_width: int
    action_width: int
    fps: float
    tasks: frozenset[int]  # the task indices that have a text


@dataclass(frozen=True)
class EpisodeRows:
    """The recorded steps of one episode."""

    state: np.ndarray  # (L, state_width) float32
    action: np.ndarray  # (L, action_width) float32
    task_index: np.ndarray  # (L,) int64


def read_rows(span: RowsSpan, episode: int, expected: RowFormat) -> EpisodeRows:
    """Read an episode's rows and check them. Raises RowsError with everything that is wrong."""
    table = _read_table(span, episode, expected)
    if table.num_rows != span.length:
        raise RowsError([f"has {table.num_rows} rows, expected {span.length}"])
    problems: list[str] = []
    state = _vectors(table, STATE, expected.state_width, problems)
    action = _vectors(table, ACTION, expected.action_width, problems)
    timestamp = _vectors(table, "timestamp", 1, problems)[:, 0]
    indices = {name: _integers(table, name, problems) for name in _INDEX_COLUMNS}
    if not problems:
        problems += _count_problems(indices, episode)
        problems += _time_problems(timestamp, expected.fps)
        unknown = sorted(set(indices["task_index"].tolist()) - expected.tasks)
        if unknown:
            problems.append(f"task_index {unknown} has no text in the dataset's tasks")
    if problems:
        raise RowsError(problems)
    return EpisodeRows(state, action, indices["task_index"])


def _read_table(span: RowsSpan, episode: int, expected: RowFormat) -> pa.Table:
    if not span.path.is_file():
        raise RowsError(["the file is missing"])
    if is_lfs_pointer(span.path):
        raise RowsError(["the file is a Git LFS pointer: run git lfs pull in the repository"])
    try:
        with pq.ParquetFile(span.path) as file:
            columns = dict.fromkeys((*_REQUIRED, *expected.columns))
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise RowsError([f"has no column {name!r}" for name in missing])
            kind = file.schema_arrow.field("episode_index").type
            if not pa.types.is_integer(kind):
                raise RowsError([f"episode_index: holds {kind}, expected integers"])
            groups = _groups_of(file, episode) if span.shared else range(file.num_row_groups)
            table = file.read_row_groups(list(groups), columns=list(_REQUIRED))
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RowsError([f"cannot be read: {reason}"]) from None
    if span.shared:
        column = table.column("episode_index").to_numpy()
        table = table.filter(pa.array(column == episode))
    return table


def _groups_of(file: pq.ParquetFile, episode: int) -> list[int]:
    """Find the row groups that may hold the episode, by the statistics in the file's footer."""
    column = file.metadata.schema.names.index("episode_index") if file.num_row_groups else 0
    groups = []
    for group in range(file.num_row_groups):
        statistics = file.metadata.row_group(group).column(column).statistics
        if (
            statistics is None
            or not statistics.has_min_max
            or statistics.min <= episode <= statistics.max
        ):
            groups.append(group)
    return groups


def _vectors(table: pa.Table, name: str, width: int, problems: list[str]) -> np.ndarray:
    """Return a column of float vectors (or scalars, for width 1): (rows, width) float32."""
    column = table.column(name).combine_chunks()
    empty = np.zeros((table.num_rows, width), np.float32)
    if isinstance(column, pa.ChunkedArray):  # what combine_chunks returns without rows
        return empty
    if column.null_count:
        problems.append(f"{name}: {column.null_count} rows are null")
        return empty
    kind = column.type
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        widths = np.asarray(column.value_lengths())
        wrong = np.flatnonzero(widths != width)
        if len(wrong):
            found = ", ".join(map(str, np.unique(widths[wrong])))
            problems.append(f"{name}: is {found} wide, expected {width}, in {_named_rows(wrong)}")
            return empty
        column = column.flatten()
    elif width != 1:
        problems.append(f"{name}: is {kind}, expected lists of {width} numbers")
        return empty
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        problems.append(f"{name}: holds {column.type}, expected float32")
        return empty
    values = column.to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, width)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        problems.append(f"{name}: NaN or infinite in {_named_rows(bad)}")
    return values


def _integers(table: pa.Table, name: str, problems: list[str]) -> np.ndarray:
    column = table.column(name)
    if not pa.types.is_integer(column.type) or column.null_count:
        problems.append(f"{name}: expected integers, got {column.type} with nulls or fractions")
        return np.zeros(table.num_rows, np.int64)
    return column.to_numpy().astype(np.int64)


def _count_problems(indices: dict[str, np.ndarray], episode: int) -> list[str]:
    problems = []
    counted = indices["frame_index"]
    wrong = np.flatnonzero(counted != np.arange(len(counted)))
    if len(wrong):
        problems.append(f"frame_index does not count 0, 1, 2 … in {_named_rows(wrong)}")
    others = np.unique(indices["episode_index"])
    if others.tolist() != [episode]:
        problems.append(f"episode_index is {others.tolist()}, expected {episode}")
    return problems


def _time_problems(timestamp: np.ndarray, fps: float) -> list[str]:
    """Allow a tenth of a step: more than float32 or a recorder's rounding adds to a timestamp."""
    expected = np.arange(len(timestamp)) / fps
    wrong = np.flatnonzero(np.abs(timestamp - expected) > 0.1 / fps)
    if not len(wrong):
        return []
    steps = np.diff(timestamp.astype(np.float64))
    rate = 1 / np.median(steps) if len(steps) and np.median(steps) > 0 else float("nan")
    return [
        f"timestamps run at {rate:.4g} Hz, expected the dataset's {fps:g} ({_named_rows(wrong)})"
    ]


def _named_rows(rows: Sequence[int] | np.ndarray) -> str:
    named = ", ".join(str(row) for row in rows[:_MOST_NAMED_ROWS])
    more = "" if len(rows) <= _MOST_NAMED_ROWS else f" … ({len(rows)} in total)"
    return f"row {named}{more}"
