"""Tokens: who is let in, as whom, and which token files are refused."""

import hashlib
import logging

import pytest
from handover_proto.errors import NotAuthorised
from handover_server.errors import ServingError
from handover_server.security.tokens import (
    ANYONE,
    Identity,
    TokenCheck,
    bearer_token,
    check_private,
    read_tokens,
)
from hypothesis import given
from hypothesis import strategies as st

OLD, NEW = "old-token-0123456789abcdef", "new-token-0123456789abcdef"


def name_of(token):
    """What an operator gets of: printf %s TOKEN | sha256sum | cut -c1-8."""
    return "token " + hashlib.sha256(token.encode()).hexdigest()[:8]


@pytest.fixture
def token_file(tmp_path):
    def make(text, mode=0o600):
        path = tmp_path / "tokens"
        path.write_text(text)
        path.chmod(mode)
        return path

    return make


def test_each_of_several_tokens_is_let_in_and_counted_by_its_own_name():
    check = TokenCheck([OLD, NEW])
    assert check.identify(OLD, "ipv4:1.2.3.4:5") == Identity(name_of(OLD))
    assert check.identify(NEW) == Identity(name_of(NEW))
    assert check.names == (name_of(OLD), name_of(NEW))


def test_after_a_rotation_nobody_has_the_name_of_another():
    check = TokenCheck([OLD, NEW])
    before = check.identify(NEW)
    check.replace([NEW])
    assert check.identify(NEW) == before
    assert before != Identity(name_of(OLD))


def test_without_tokens_everyone_is_let_in_and_counted_by_address():
    check = TokenCheck()
    assert check.is_open
    assert check.identify(None, "ipv4:1.2.3.4:5") == Identity("ipv4:1.2.3.4:5")
    assert check.identify(OLD) == ANYONE


@pytest.mark.parametrize("shown", [None, ""])
def test_a_missing_token_is_told_how_to_give_one(shown):
    with pytest.raises(NotAuthorised, match=r"requires a token, .* --token-file or HANDOVER_TOKEN"):
        TokenCheck([OLD]).identify(shown)


@given(st.text())
def test_no_other_text_is_let_in_and_none_is_repeated(text):
    with pytest.raises(NotAuthorised) as caught:
        TokenCheck([OLD, NEW]).identify(text + "?")
    assert len(text) < 8 or text not in str(caught.value)


def test_a_replaced_token_is_refused_from_then_on():
    check = TokenCheck([OLD])
    check.replace([NEW])
    assert check.identify(NEW).name == name_of(NEW)  # and never the name that OLD had
    with pytest.raises(NotAuthorised, match="may have been replaced"):
        check.identify(OLD)


def test_a_check_holds_no_token_that_a_dump_could_show():
    assert OLD not in repr(vars(TokenCheck([OLD])))


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        (b"Bearer abc", "abc"),
        ("Basic abc", None),
        ("Bearer", None),
        ("abc", None),
        (None, None),
    ],
)
def test_a_token_is_read_off_the_header_that_brings_it(header, token):
    assert bearer_token(header) == token


def test_a_token_file_has_a_token_per_line_and_comments(token_file):
    assert read_tokens(token_file(f"# robots\n{OLD}\n\n  {NEW}  \n")) == [OLD, NEW]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "holds no token"),
        ("# nothing\n\n", "holds no token; make one with: openssl rand"),
        ("secret\n", "line 1 .* at least 24 printable ASCII characters, got 6"),
        ("0123456789abcdefghij\n", "line 1 .* got 20"),
        (f"{OLD}\n{NEW}", "ends within a line, as one that is half written"),
        (f"{OLD}\nschlüssel-schlüssel-schlüssel\n", "line 2 .* printable ASCII"),
        ("two words of a token that is long\n", "line 1 .* has no spaces"),
    ],
)
def test_a_file_without_a_usable_token_is_refused_and_not_repeated(token_file, text, line):
    with pytest.raises(ServingError, match=line) as caught:
        read_tokens(token_file(text))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o620, 0o666])
def test_a_file_that_others_may_read_or_the_group_may_write_is_refused(token_file, mode):
    with pytest.raises(ServingError, match=rf"has mode {mode:04o}: .* chmod 600"):
        read_tokens(token_file(f"{OLD}\n", mode))


def test_a_file_that_the_group_may_read_is_warned_of(token_file, caplog):
    with caplog.at_level(logging.WARNING):
        assert read_tokens(token_file(f"{OLD}\n", 0o640)) == [OLD]
    assert "may be read by its group" in caplog.text


def test_a_file_that_cannot_be_read_is_one_clear_line(tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff" * 32)
    binary.chmod(0o600)
    with pytest.raises(ServingError, match="cannot be read: it is not text"):
        read_tokens(binary)
    with pytest.raises(ServingError, match="cannot be read: No such file"):
        read_tokens(tmp_path / "none")
    with pytest.raises(ServingError, match="is not a file"):
        check_private(tmp_path, "key")
