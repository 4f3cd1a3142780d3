"""Web pages: what their requests look like, and which of them never read a server."""

import socket

import pytest
from handover_server.security.browsers import page_refusal


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1:9090", "[::1]:9090", "[::1]", "192.168.1.20:9090"),
        *("localhost:9090", "server:9090", "LOCALHOST.", None, socket.gethostname()),
    ],
)
def test_addresses_and_names_of_this_network_are_let_in(host):
    assert page_refusal(None, host, tokens=False) is None


@pytest.mark.parametrize("host", ["a.page", "a.page:9090", "127.0.0.1.a.page:9090", "a.page."])
def test_a_name_that_a_stranger_may_have_pointed_here_is_refused(host):
    refusal = page_refusal(None, host, tokens=False)
    assert refusal is not None
    assert repr(host.partition(":")[0].rstrip(".")) in refusal
    assert page_refusal(None, host, tokens=True) is None


@pytest.mark.parametrize("origin", ["https://a.page", "null", "", "http://127.0.0.1:8000"])
@pytest.mark.parametrize("tokens", [False, True])
def test_a_request_of_a_page_is_refused_whatever_the_page(origin, tokens):
    refusal = page_refusal(origin, "127.0.0.1:9090", tokens=tokens)
    assert refusal == f"requests of web pages are refused, and this one has the Origin {origin!r}"


def test_a_client_that_names_the_server_itself_is_no_page():
    assert page_refusal("http://127.0.0.1:9090", "127.0.0.1:9090", tokens=False) is None
    assert page_refusal("http://a.page:9090", "a.page:9090", tokens=False) is not None
