"""The command line: what it lists, what it exits with, and what it leaves unimported."""

import os
import subprocess
import sys
import types
from dataclasses import dataclass

import pytest
from handover_client.commands import main as cli
from handover_client.commands.registry import COMMANDS, Command
from handover_common.errors import HandoverError, UsageError


@dataclass(frozen=True)
class FakeConfig:
    """For a test."""

    server: str = ""


@pytest.fixture
def fake_command(monkeypatch):
    """Put a command `fake` in place that does what the test gives it."""

    def install(action, extra="sim"):
        module = types.ModuleType("fake_command_module")
        module.main, module.Config = action, FakeConfig
        module.__spec__ = types.SimpleNamespace(name="fake_command_module")
        monkeypatch.setitem(sys.modules, "fake_command_module", module)
        command = Command("fake_command_module", "fake_command_module:Config", "for a test", extra)
        monkeypatch.setitem(COMMANDS, "fake", command)

    return install


def raising(error):
    def action(_config):
        raise error

    return action


def test_the_overview_lists_only_commands_whose_module_exists(monkeypatch, capsys):
    ghost = Command("handover_nowhere.ghost", "handover_nowhere.ghost:Config", "not there", "sim")
    monkeypatch.setitem(COMMANDS, "ghost", ghost)
    assert cli.run([]) == 0
    listed = capsys.readouterr().out
    assert "  info " in listed
    assert "ghost" not in listed
    assert cli.run(["ghost"]) == 2


def test_an_unknown_command_exits_with_2_and_names_the_known(capsys):
    assert cli.run(["fly"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("handover: unknown command 'fly': expected one of ")
    assert "info" in error
    assert error.count("\n") == 1


def test_a_mistyped_command_is_told_the_nearest(capsys):
    assert cli.run(["replya"]) == 2
    assert capsys.readouterr().err.endswith("; did you mean 'replay'?\n")
    assert cli.run(["fly"]) == 2
    assert "did you mean" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"),
    [(HandoverError("two\nlines"), 1), (UsageError("no such task"), 2)],
)
def test_our_errors_are_one_line_on_stderr(fake_command, capsys, error, status):
    fake_command(raising(error))
    assert cli.run(["fake"]) == status
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == f"handover: {' '.join(str(error).split())}\n"


def test_what_an_error_lists_has_lines_of_its_own(fake_command, capsys):
    class Listing(HandoverError):
        def lines(self):
            return ["2 faults", "  one", "  another"]

    fake_command(raising(Listing()))
    assert cli.run(["fake"]) == 1
    assert capsys.readouterr().err == "handover: 2 faults\n  one\n  another\n"


def test_ctrl_c_exits_with_130_and_no_traceback(fake_command, capsys):
    fake_command(raising(KeyboardInterrupt()))
    assert cli.run(["fake"]) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "import_",
    [
        "exec('raise KeyboardInterrupt')",  # of which every dataclass is made
        "os.kill(os.getpid(), signal.SIGINT)",
        # as Python 3.11 does where the interrupt comes while a class is being made
        "exec('try: os.kill(os.getpid(), signal.SIGINT); time.sleep(9)\\n'"
        "'except BaseException: raise RuntimeError')",
    ],
)
def test_ctrl_c_in_the_middle_of_an_import_exits_with_130_too(import_):
    program = (
        "import os, signal, time\nfrom handover_client.commands import main as cli\n"
        f"def imports(): {import_}\n"
        "cli.run = lambda arguments: cli.exit_status(imports)\ncli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr == "\nhandover: interrupted\n"


def test_a_missing_package_names_the_commands_extra(fake_command, capsys):
    fake_command(raising(ModuleNotFoundError("No module named 'mujoco'", name="mujoco.gl")))
    assert cli.run(["fake"]) == 1
    assert 'pip install -e ".[sim]"' in capsys.readouterr().err


def test_a_missing_module_of_ours_is_a_fault_not_a_missing_extra(fake_command):
    fake_command(raising(ModuleNotFoundError("No module", name="handover_client.typo")))
    with pytest.raises(ModuleNotFoundError):
        cli.run(["fake"])


def test_the_command_parses_its_own_arguments(fake_command):
    seen = []
    fake_command(lambda config: seen.append((config, list(sys.argv))))
    assert cli.run(["fake", "--server", "here:1"]) == 0
    assert seen == [(FakeConfig("here:1"), ["handover fake", "--server", "here:1"])]


def test_a_flag_that_does_not_exist_exits_with_2(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["handover"])
    with pytest.raises(SystemExit) as exit_status:
        cli.run(["info", "--sever", "127.0.0.1:1"])
    assert exit_status.value.code == 2


def test_a_reader_that_goes_away_is_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", "from handover_client.commands.main import main; main()"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=180)
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == b""


def loaded_by(code: str) -> set[str]:
    """Run code in a fresh Python; returns the top-level packages that it loaded."""
    script = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=180
    )
    return set(done.stdout.splitlines()[-1].split())


HEAVY = {"torch", "mujoco", "pyarrow", "av", "matplotlib", "transformers", "jinja2", "rich"}


def test_the_client_loads_nothing_but_its_base_packages():
    modules = [
        "connection.policy_client",
        "connection.async_client",
        "control.chunk_player",
        "commands.info",
        "diagnostics.server_info",
        "replay.error_metrics",
        "commands.replay",
        "commands.compare",
    ]
    lines = [f"import handover_client.{name}" for name in modules]
    loaded = loaded_by("\n".join(["import handover_client", *lines]))
    assert {"grpc", "numpy"} <= loaded
    assert not loaded & HEAVY


TYPE_CHECKER = "typeguard"  # what tyro loads for `X | None`: write Optional[X] in a config
# have tuples or dicts, which tyro cannot check without
SLOWER = {"card", "convert", "finetune", "record", "rollout"}


@pytest.mark.parametrize("name", [name for name in COMMANDS if COMMANDS[name].exists()])
def test_help_loads_no_more_than_it_needs(name):
    code = (
        "import contextlib\nfrom handover_client.commands.main import run\n"
        f"with contextlib.suppress(SystemExit): run([{name!r}, '--help'])"
    )
    loaded = loaded_by(code)
    assert "tyro" in loaded
    assert not loaded & (HEAVY | {"grpc", "numpy"})
    assert name in SLOWER or TYPE_CHECKER not in loaded


def test_the_overview_loads_nothing_but_the_command_line():
    loaded = loaded_by("from handover_client.commands.main import run\nrun([])")
    assert not loaded & (HEAVY | {"grpc", "numpy", "tyro"})
