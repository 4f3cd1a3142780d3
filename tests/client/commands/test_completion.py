"""What a shell completes after `source <(handover completion bash)`."""

import shutil
import subprocess

import pytest
from handover_client.commands.completion import CompletionConfig, main
from handover_client.commands.registry import COMMANDS


def script_of(shell, capsys):
    with pytest.raises(SystemExit) as ended:
        main(CompletionConfig(shell))
    assert ended.value.code in (0, None)
    return capsys.readouterr().out


def completed(script, *words):
    """Complete the last of the words, as bash does when Tab is pressed after it."""
    typed = " ".join(f"'{word}'" for word in words)
    ask = (
        f"COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _tyro_handover; echo ${{COMPREPLY[@]}}"
    )
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{ask}; echo ${{COMPREPLY[@]}}"],
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_flags_and_values(capsys):
    script = script_of("bash", capsys)
    assert {"record", "replay", "rollout"} <= completed(script, "handover", "")
    assert completed(script, "handover", "rollo") == {"rollout"}
    assert {"--seed", "--seeds-from"} <= completed(script, "handover", "rollout", "--se")
    values = completed(script, "handover", "rollout", "--task", "")
    assert values >= {"transfer_cube", "insertion", "transfer_cube_left"}
    assert completed(script, "handover", "compare", "--task", "") == values
    flags = completed(script, "handover", "compare", "--")
    assert flags >= {"--policy-rate-hz", "--camera", "--group"}


def test_zsh_gets_a_script_for_the_same_program(capsys):
    script = script_of("zsh", capsys)
    assert script.startswith("#compdef handover")
    assert "seeds-from" in script


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_takes_a_frozen_dataclass(name):
    command = COMMANDS[name]
    if command.exists():
        assert command.load_config().__dataclass_params__.frozen
