"""The trainer's workers: silent where the trainer went away, and only there."""

import subprocess
import sys

PROGRAM = """
import os, socket, sys
from multiprocessing import resource_sharer
from handover_training.loop.loader import start_worker

start_worker(0)
sharer = resource_sharer.DupFd(os.pipe()[0])
address, _ = sharer._id
for _ in range(2):  # the second is accepted once the first is over
    with socket.socket(socket.AF_UNIX) as taker:
        taker.connect(address)
sharer.detach()
sys.excepthook(ValueError, ValueError("a fault of ours"), None)
"""


def test_a_taker_of_a_batch_that_goes_away_is_not_reported_and_a_fault_is():
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0
    assert done.stderr == "ValueError: a fault of ours\n"
