"""A Ctrl-C ends the command also where it falls into a callback or an import that drops it."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, time, types, weakref
from handover_client.commands import main as cli

class Thing:
    pass

def interrupt(_):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0)  # here it is raised, and dropped

def drop_in_a_callback():
    thing = Thing()
    watch = weakref.ref(thing, interrupt)
    del thing

def drop_in_an_import():
    import drops_everything

def work():
    WHAT()
    print("dropped", flush=True)
    time.sleep(120)
    print("nobody interrupted this")

sys.path.insert(0, sys.argv[1])
sys.modules["work"] = types.SimpleNamespace(cli=work, __spec__=types.SimpleNamespace())
cli.COMMANDS = {"work": cli.Command("work:cli", "", "wait")}
sys.argv = ["handover", "work"]
cli.main()
"""

DROPS_EVERYTHING = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0)
except BaseException:
    pass
"""


@pytest.mark.parametrize("what", ["drop_in_a_callback", "drop_in_an_import"])
def test_an_interrupt_that_is_dropped_comes_again(what, tmp_path):
    (tmp_path / "drops_everything.py").write_text(DROPS_EVERYTHING)
    command = [sys.executable, "-c", PROGRAM.replace("WHAT", what), tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.stdout == "dropped\n"
    assert done.stderr.strip() == "handover: interrupted"
    assert done.returncode == 130
