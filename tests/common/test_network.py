"""What never leaves the machine may go unencrypted; addresses are written as clients take them."""

import pytest
from handover_common import host_port, is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_this_machine_alone_is_loopback(host):
    assert is_loopback(host) is True


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.0.1", "localhost.example", "my-laptop", ""]
)
def test_every_other_address_and_name_is_not(host):
    assert is_loopback(host) is False


def test_an_ipv6_address_is_written_as_clients_take_it():
    assert host_port("::1", 50051) == "[::1]:50051"
    assert host_port("127.0.0.1", 50051) == "127.0.0.1:50051"
