"""Network addresses: how they are written, and which of them never leave the machine."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Tell whether `host` (a name or an address, brackets or not) is this machine alone.

    Of names only localhost: any other may mean another machine tomorrow.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_port(host: str, port: int) -> str:
    """Write an address as clients take it: of IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
