"""What a benchmark ran on: kept beside its figures."""

import os
import platform
import sys
from pathlib import Path


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


def _cpu_name() -> str:
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
