"""What a benchmark ran on, and what else ran there: kept beside its figures."""

import os
import platform
import sys
import time
from pathlib import Path


class OthersAtWork:
    """Counts the cores that other processes kept busy since it was made; Linux alone tells."""

    def __init__(self) -> None:
        self._began, self._busy_s, self._own_s = time.monotonic(), _busy_s(), _own_s()

    def cores(self) -> float | None:
        """Give the mean number of cores that other processes were on; None where none tells."""
        if self._busy_s is None:
            return None
        busy_s, own_s = (_busy_s() or 0.0) - self._busy_s, _own_s() - self._own_s
        return round(max(0.0, busy_s - own_s) / (time.monotonic() - self._began), 2)


def cpu_s_of(pid: int) -> float:
    """Give the CPU seconds of a process so far: proc(5), utime and stime."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def describe_run() -> dict[str, object]:
    """Give the hardware, the Python and the command of this process."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "nice": os.nice(0),  # below 0: other work on the machine waits for this
        "system": platform.platform(),
        "python": platform.python_version(),
        "command": " ".join(["python", *sys.orig_argv[1:]]),
    }


def _busy_s() -> float | None:
    """Give the seconds that all cores were at work since the machine started."""
    counted = Path("/proc/stat")
    if not counted.is_file():
        return None
    user, nice, system, *_ = counted.read_text().split()[1:]
    return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    took = os.times()
    return took.user + took.system + took.children_user + took.children_system


def _cpu_name() -> str:
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
