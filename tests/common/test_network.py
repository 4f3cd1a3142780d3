"""What never leaves the machine may go unencrypted; nothing else may."""

import pytest
from handover_common.network import is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_this_machine_alone_is_loopback(host):
    assert is_loopback(host) is True


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.0.1", "localhost.example", "my-laptop", ""]
)
def test_every_other_address_and_name_is_not(host):
    assert is_loopback(host) is False
