"""Row groups of a parquet file that several episodes share."""

import pyarrow.parquet as pq


def groups_of(file: pq.ParquetFile, episode: int) -> list[int]:
    """Find the row groups that may hold the episode, by the statistics in the file's footer."""
    leaves = [file.schema.column(place).path for place in range(len(file.schema))]
    column = leaves.index("episode_index")
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
