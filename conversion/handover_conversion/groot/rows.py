"""Reading of an episode's columns from its parquet file: numbers, texts, images in the rows."""

import io
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from av.error import FFmpegError

from handover_conversion.errors import DatasetError
from handover_conversion.groot.layout import FilePlace
from handover_conversion.lerobot.row_groups import groups_of
from handover_conversion.locations import inner_name, regular_file

_NUMBERS = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean)
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_MOST_ROWS = 100_000_000  # of a file
_MOST_BYTES = 1 << 34  # of the columns that are read


def read_table(
    root: Path, place: FilePlace, episode: int, names: Sequence[str], *, keep: bool = True
) -> pa.Table:
    """Read columns of an episode. Raises DatasetError, for columns that are not there too.

    keep: a shared file stays in memory for the next episode, as it may be one row group.
    """
    path = regular_file(root, place.name)
    columns = list(dict.fromkeys([*names, "episode_index"] if place.shared else names))
    try:
        status = path.stat()
        with pq.ParquetFile(path) as file:
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise DatasetError(
                    f"{path} has no column {', '.join(map(repr, missing))}; it has "
                    f"{', '.join(file.schema_arrow.names)[:300]}"
                )
            groups = groups_of(file, episode) if place.shared else range(file.num_row_groups)
            _check_size(path, file, columns, groups)
        read = _read if keep and place.shared else _read.__wrapped__
        table = read(path, status.st_mtime_ns, tuple(groups), tuple(columns))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DatasetError(
            f"{path} cannot be read: {(str(error).splitlines() or [''])[0]}"
        ) from None
    if place.shared:
        own = _matrix(table, "episode_index")[:, 0] == episode
        table = table.filter(pa.array(own))
    return table


def column_names(root: Path, place: FilePlace) -> list[str]:
    """List the columns of a parquet file. Raises DatasetError."""
    path = regular_file(root, place.name)
    try:
        return list(pq.read_schema(path).names)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(
            f"{path} cannot be read: {(str(error).splitlines() or [''])[0]}"
        ) from None


@lru_cache(maxsize=2)
def _read(path: Path, _stamp: int, groups: tuple[int, ...], columns: tuple[str, ...]) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read_row_groups(list(groups), columns=list(columns))


def _check_size(
    path: Path, file: pq.ParquetFile, columns: Sequence[str], groups: Sequence[int]
) -> None:
    rows = file.metadata.num_rows
    chosen = [
        place
        for place in range(len(file.schema))
        if file.schema.column(place).path.split(".")[0] in {name.split(".")[0] for name in columns}
    ]
    size = sum(
        file.metadata.row_group(group).column(place).total_uncompressed_size
        for group in groups
        for place in chosen
    )
    if rows > _MOST_ROWS or size > _MOST_BYTES:
        raise DatasetError(
            f"{path} has {rows} rows of {size} bytes, expected at most {_MOST_ROWS} rows of "
            f"{_MOST_BYTES} bytes"
        )


def numbers(path: Path, table: pa.Table, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Convert columns of numbers: {name: (rows, width)}. Raises DatasetError."""
    try:
        return {name: _matrix(table, name) for name in names}
    except (ValueError, pa.ArrowException) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None


def _matrix(table: pa.Table, name: str) -> np.ndarray:
    """Convert a column of numbers, or of lists of equal length, to (rows, width).

    Raises ValueError for any other column.
    """
    column = _whole(table, name)
    rows, width = len(column), 1
    while any(test(column.type) for test in _LISTS):
        if column.null_count:
            raise ValueError(f"{name} has {column.null_count} null rows")
        widths = np.unique(column.value_lengths())
        if len(widths) > 1:
            raise ValueError(f"{name} is {', '.join(map(str, widths))} wide, expected one width")
        width *= int(widths[0]) if len(widths) else 0
        column = column.flatten()
    if column.null_count:
        raise ValueError(f"{name} has {column.null_count} null rows")
    if not any(test(column.type) for test in _NUMBERS):
        raise ValueError(f"{name} holds {column.type}, expected numbers")
    return column.to_numpy(zero_copy_only=False).reshape(rows, width)


def _whole(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)


def texts(path: Path, table: pa.Table, name: str) -> list[str] | None:
    """Return a column of texts; None for a column of another type. Raises DatasetError."""
    column = _whole(table, name)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return None
    if column.null_count:
        raise DatasetError(f"{path} cannot be read: {name} has {column.null_count} null rows")
    return column.to_pylist()


def images(
    root: Path, path: Path, table: pa.Table, name: str, rows: Sequence[int]
) -> Iterator[np.ndarray]:
    """Decode images that are stored in the rows: (H, W, 3) uint8 RGB. Raises DatasetError."""
    column = _whole(table, name)
    for row in rows:
        stored = column[row].as_py()
        data = stored.get("bytes") if isinstance(stored, dict) else stored
        if data is None and isinstance(stored, dict) and isinstance(stored.get("path"), str):
            data = _file_content(root, stored["path"])
        try:
            with av.open(io.BytesIO(data or b""), "r") as container:
                yield next(container.decode(video=0)).to_ndarray(format="rgb24")
        except (FFmpegError, OSError, TypeError, ValueError, StopIteration) as error:
            raise DatasetError(f"{path}: {name}, row {row}: no image: {error}") from None


def _file_content(root: Path, name: str) -> bytes:
    try:
        return regular_file(root, inner_name(name)).read_bytes()
    except (ValueError, OSError) as error:
        raise DatasetError(f"{root}: {error}") from None
