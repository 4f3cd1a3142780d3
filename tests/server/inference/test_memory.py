"""What a request has freed stays at hand for the next one."""

import subprocess
import sys

import pytest

ROUNDS = 50

# In a process of its own: the setting is the process's, and cannot be taken back. Three images
# together are more than glibc would keep by itself, which is twice the largest.
SCRIPT = f"""
import resource, sys
from handover_server.inference.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range({ROUNDS}):
        images = [b"x" * 900_000 for _ in range(3)]
        del images
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / {ROUNDS}

if sys.argv[1] == "keep":
    keep_freed_memory()
faults()
print(faults())
"""


def faults_of_a_request(what: str) -> float:
    command = [sys.executable, "-c", SCRIPT, what]
    return float(subprocess.check_output(command, text=True, timeout=60))


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is glibc's")
def test_an_images_memory_is_not_mapped_anew_for_every_request():
    assert faults_of_a_request("keep") < faults_of_a_request("give back") / 10
