"""Which addresses never leave the machine: what may go over them unencrypted."""

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
