"""Browser guard: no web page may read a server that its reader's machine can reach.

A browser connects to loopback for any page. It then names the page in `Origin`; and a page whose
own name was made to point at this machine (DNS rebinding) has that name in `Host`.
"""

import ipaddress
import socket


def page_refusal(origin: str | None, host: str | None, *, tokens: bool) -> str | None:
    """Return why a request with these headers is refused, in one line; None for one that is not.

    tokens: whether the server requires one, which no page has: then any name in `Host` will do

    Some clients that are no browsers name the server itself as the origin, which serves no page.
    """
    if origin is not None and origin.partition("://")[2].lower() != (host or "").lower():
        return f"requests of web pages are refused, and this one has the Origin {origin[:80]!r}"
    name = _name(host or "")
    if tokens or _is_local(name):
        return None
    return (
        f"the Host header names {name[:80]!r}, expected an IP address or this machine's own name; "
        "a server that requires tokens (--token-file) answers under every name"
    )


def _name(host: str) -> str:
    """Return the name or address in HOST[:PORT]."""
    name, _, port = host.rpartition(":")
    return (name if port.isdigit() else host).strip("[]").rstrip(".").lower()


def _is_local(name: str) -> bool:
    """Whether only this machine or its network can have given it that name."""
    if "." not in name or name == socket.gethostname().lower():
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
