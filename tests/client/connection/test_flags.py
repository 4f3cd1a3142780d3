"""The flags of every command with a server: protection against a real one, and timeouts."""

import pytest
from handover_client.commands.main import run
from handover_client.connection.flags import SecurityFlags, read_security
from handover_common.errors import UsageError

from ..serving import ServerProcess

TOKEN = "a-token-0123456789abcdef"


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(f"# of the left robot\n{TOKEN}\n")
    path.chmod(0o600)
    return path


def test_a_token_comes_from_its_file_or_else_from_the_environment(token_file):
    environment = {"HANDOVER_TOKEN": "of-the-environment"}
    assert read_security(SecurityFlags(token_file=token_file), environment).token == TOKEN
    assert read_security(SecurityFlags(), environment).token == "of-the-environment"
    assert read_security(SecurityFlags(), {"HANDOVER_TOKEN": ""}).token is None
    two_lines = {"HANDOVER_TOKEN": "the-first-of-a-file\nthe-second\n"}
    assert read_security(SecurityFlags(), two_lines).token == "the-first-of-a-file"
    for no_token in ("tökens-are-ascii", "a-token\0", " \n"):
        with pytest.raises(UsageError, match=r"^HANDOVER_TOKEN holds no token"):
            read_security(SecurityFlags(), {"HANDOVER_TOKEN": no_token})


def test_an_authority_of_ones_own_implies_tls(authority):
    security = read_security(SecurityFlags(tls_ca=authority.certificate), {})
    assert security.tls
    assert security.ca == authority.certificate.read_bytes()
    assert not read_security(SecurityFlags(), {}).tls


def test_flags_that_make_no_sense_are_refused(authority, tmp_path):
    certificate, key = authority.sign("flags")
    empty = tmp_path / "empty"
    empty.touch()
    for flags, line in (
        (SecurityFlags(client_cert=certificate), "belong together"),
        (SecurityFlags(client_cert=certificate, client_key=key), "needs --tls-ca FILE, or --tls"),
        (SecurityFlags(tls_ca=tmp_path / "none"), "--tls-ca .*none cannot be read: No such file"),
        (SecurityFlags(tls_ca=key), "holds no PEM certificate"),
        (SecurityFlags(token_file=empty), "holds no token"),
    ):
        with pytest.raises(UsageError, match=line):
            read_security(flags, {})


def test_info_reaches_a_server_with_tls_and_tokens_and_says_what_it_lacks(
    authority, token_file, tmp_path, capsys, monkeypatch
):
    certificate, key = authority.sign("gpu-host")
    flags = ("--tls-cert", certificate, "--tls-key", key, "--token-file", token_file)
    ca = ("--tls-ca", str(authority.certificate))
    with ServerProcess("--policy", "hold", *flags, log=tmp_path / "log") as server:
        info = ("info", "--server", server.wait())
        assert run([*info, *ca, "--token-file", str(token_file)]) == 0
        assert "policy      hold" in capsys.readouterr().out
        monkeypatch.setenv("HANDOVER_TOKEN", TOKEN)
        assert run([*info, *ca]) == 0
        monkeypatch.setenv("HANDOVER_TOKEN", "another-0123456789")
        assert run([*info, *ca]) == 1
        assert "the token is not one of this server's" in capsys.readouterr().err
        monkeypatch.delenv("HANDOVER_TOKEN")
        assert run([*info, *ca]) == 1
        assert "requires a token, and the request has none" in capsys.readouterr().err
        assert run([*info]) == 1
        assert "requires TLS: use --tls-ca FILE" in capsys.readouterr().err
    assert TOKEN not in (tmp_path / "log").read_text()


ASKS = "--server 127.0.0.1:1"
LINES = {
    "info": (ASKS, ["--timeout-s"]),
    "replay": (
        f"{ASKS} --dataset-path here --output out",
        ["--connect-timeout-s", "--call-timeout-s"],
    ),
    "rollout": (
        f"{ASKS} --output out",
        ["--connect-timeout-s", "--call-timeout-s", "--reconnect-s"],
    ),
    "replay-requests": (
        f"{ASKS} --recording here",
        ["--connect-timeout-s", "--call-timeout-s"],
    ),
}


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
@pytest.mark.parametrize("command", list(LINES))
def test_what_is_no_time_to_wait_is_a_usage_error(command, value, capsys):
    words, flags = LINES[command]
    for flag in flags:
        assert run([command, *words.split(), flag, value]) == 2
        assert f"{flag} is {value}, expected above 0" in capsys.readouterr().err
