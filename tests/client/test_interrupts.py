"""A Ctrl-C ends the command also where it falls into a callback, whose exceptions Python drops."""

import subprocess
import sys

PROGRAM = """
import os, signal, sys, time, types, weakref
from handover_client import cli

class Thing:
    pass

def interrupt(_):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0)  # here it is raised, and dropped

def work():
    thing = Thing()
    watch = weakref.ref(thing, interrupt)
    del thing
    print("dropped", flush=True)
    time.sleep(120)
    print("nobody interrupted this")

sys.modules["work"] = types.SimpleNamespace(cli=work, __spec__=types.SimpleNamespace())
cli.COMMANDS = {"work": cli.Command("work:cli", "", "wait")}
sys.argv = ["handover", "work"]
cli.main()
"""


def test_an_interrupt_that_python_drops_comes_again():
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.stdout == "dropped\n"
    assert done.stderr.strip() == "handover: interrupted"
    assert done.returncode == 130
