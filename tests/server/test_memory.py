"""What a request has freed stays at hand for the next one."""

import subprocess
import sys

import pytest

ROUNDS, FRAME_BYTES, PAGE_BYTES = 50, 4 << 20, 4096

# In a process of its own: the setting is the process's, and cannot be taken back.
SCRIPT = f"""
import resource
from handover_server.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range({ROUNDS}):
        bytearray(b"x") * {FRAME_BYTES}
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_freed_memory()
faults()
print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is glibc's")
def test_an_images_memory_is_not_mapped_anew_for_every_request():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(done.stdout) < ROUNDS * FRAME_BYTES / PAGE_BYTES / 10
