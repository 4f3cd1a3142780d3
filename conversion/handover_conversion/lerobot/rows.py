"""Reader of one recorded episode's parquet rows, which reports everything that is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from handover_conversion.lerobot.row_groups import groups_of
from handover_conversion.locations import is_lfs_pointer
from handover_conversion.recordings import EpisodeRows, RowFormat, RowsError

_COUNTERS = ("frame_index", "episode_index")
_MOST_NAMED_ROWS = 5


@dataclass(frozen=True)
class RowsSpan:
    """An episode's rows: a whole parquet file, or one episode's part of a shared one."""

    path: Path
    length: int
    shared: bool = False  # other episodes are in the same file

    def read(self, episode: int, expected: RowFormat) -> EpisodeRows:
        """Read the rows and check them. Raises RowsError with everything that is wrong."""
        table = self._read_table(episode, expected)
        if table.num_rows != self.length:
            raise RowsError([f"has {table.num_rows} rows, expected {self.length}"])
        problems: list[str] = []
        columns = {
            name: _vectors(table, name, width, problems) for name, width in expected.widths.items()
        }
        time = None
        if expected.time_column is not None:
            time = _times(table, expected.time_column, problems)
        counted = [name for name in _COUNTERS if name in table.column_names]
        tasks = {name: _integers(table, name, problems) for name in expected.task_columns}
        indices = {name: _integers(table, name, problems) for name in counted}
        if not problems:
            problems += _count_problems(indices, episode)
            problems += _task_problems(tasks, expected.tasks)
        if problems:
            raise RowsError(problems)
        return EpisodeRows(columns, time, tasks)

    def _read_table(self, episode: int, expected: RowFormat) -> pa.Table:
        if not self.path.is_file():
            raise RowsError(["the file is missing"])
        if is_lfs_pointer(self.path):
            raise RowsError(["the file is a Git LFS pointer: run git lfs pull in the repository"])
        try:
            with pq.ParquetFile(self.path) as file:
                return self._read_columns(file, episode, expected)
        except (OSError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise RowsError([f"cannot be read: {reason}"]) from None

    def _read_columns(self, file: pq.ParquetFile, episode: int, expected: RowFormat) -> pa.Table:
        there = file.schema_arrow.names
        needed = [*expected.widths, *expected.task_columns]
        needed += [expected.time_column] if expected.time_column is not None else []
        if self.shared:
            needed.append("episode_index")
        missing = [one for one in dict.fromkeys((*needed, *expected.columns)) if one not in there]
        if missing:
            raise RowsError([f"has no column {name!r}" for name in missing])
        wanted = list(dict.fromkeys((*needed, *(name for name in _COUNTERS if name in there))))
        if "episode_index" in there:
            kind = file.schema_arrow.field("episode_index").type
            if not pa.types.is_integer(kind):
                raise RowsError([f"episode_index: holds {kind}, expected integers"])
        if not self.shared:
            return file.read(columns=wanted)
        table = file.read_row_groups(groups_of(file, episode), columns=wanted)
        return table.filter(pa.array(table.column("episode_index").to_numpy() == episode))


def _vectors(table: pa.Table, name: str, width: int, problems: list[str]) -> np.ndarray:
    """Return a column of vectors (or scalars, for width 1): (rows, width) float32 or float64."""
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
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        problems.append(f"{name}: holds {kind}, expected float32")
        return empty
    values = column.to_numpy(zero_copy_only=False)
    values = values.astype(np.float64 if values.dtype == np.float64 else np.float32)
    values = values.reshape(-1, width)
    with np.errstate(over="ignore"):  # the output is float32: what is infinite there is told
        bad = np.flatnonzero(~np.isfinite(values.astype(np.float32)).all(axis=1))
    if len(bad):
        problems.append(f"{name}: NaN or infinite in {_named_rows(bad)}")
    return values


def _times(table: pa.Table, name: str, problems: list[str]) -> np.ndarray:
    """Return a column of times as they are, float64 s or int64 of the recorder's unit: (rows,)."""
    column = table.column(name).combine_chunks()
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind) or pa.types.is_duration(kind):
        column = column.cast(pa.int64())
    elif pa.types.is_integer(kind) and not column.null_count:
        return column.to_numpy(zero_copy_only=False).astype(np.int64)
    if pa.types.is_integer(column.type) and not column.null_count:
        return column.to_numpy(zero_copy_only=False)
    return _vectors(table, name, 1, problems)[:, 0].astype(np.float64)


def _integers(table: pa.Table, name: str, problems: list[str]) -> np.ndarray:
    column = table.column(name)
    if not pa.types.is_integer(column.type) or column.null_count:
        problems.append(f"{name}: expected integers, got {column.type} with nulls or fractions")
        return np.zeros(table.num_rows, np.int64)
    return column.to_numpy().astype(np.int64)


def _count_problems(indices: dict[str, np.ndarray], episode: int) -> list[str]:
    problems = []
    if "frame_index" in indices:
        counted = indices["frame_index"]
        wrong = np.flatnonzero(counted != np.arange(len(counted)))
        if len(wrong):
            problems.append(f"frame_index does not count 0, 1, 2 … in {_named_rows(wrong)}")
    if "episode_index" in indices:
        others = np.unique(indices["episode_index"])
        if others.tolist() != [episode]:
            problems.append(f"episode_index is {others.tolist()}, expected {episode}")
    return problems


def _task_problems(tasks: dict[str, np.ndarray], known: frozenset[int]) -> list[str]:
    problems = []
    for name, indices in tasks.items():
        unknown = sorted(set(indices.tolist()) - known)
        if unknown:
            problems.append(f"{name} {unknown} has no text in the dataset's tasks")
    return problems


def _named_rows(rows: Sequence[int] | np.ndarray) -> str:
    named = ", ".join(str(row) for row in rows[:_MOST_NAMED_ROWS])
    more = "" if len(rows) <= _MOST_NAMED_ROWS else f" … ({len(rows)} in total)"
    return f"row {named}{more}"
