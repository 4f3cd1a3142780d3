"""Choice of an executor: this machine's cores, or a Ray cluster."""

import os
from contextlib import AbstractContextManager

from handover_common.errors import UsageError
from handover_common.parallel.executor import Executor


def open_executor(workers: int | None, cluster: str | None) -> AbstractContextManager[Executor]:
    """Choose where tasks run: `workers` local processes (None: one per core), or a Ray cluster.

    `cluster` is None, "auto" (the cluster this machine is part of) or "ray://HOST:PORT".
    Raises MissingExtra when Ray is wanted and not installed.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"expected at least 1 worker, got {workers} (--workers)")
    if cluster is not None:
        from handover_common.parallel.ray_cluster import RayExecutor

        return RayExecutor(cluster, workers)
    from handover_common.parallel.processes import ProcessExecutor

    return ProcessExecutor(workers or available_cores())


def available_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
