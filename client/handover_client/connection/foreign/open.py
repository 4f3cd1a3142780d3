"""Clients by address: Handover's own protocol, openpi's or Isaac-GR00T's."""

from pathlib import Path

from handover_common import UsageError
from handover_proto import ImageCodec

from handover_client.connection.channel import ChannelOptions
from handover_client.connection.foreign.address import ServerAddress
from handover_client.connection.foreign.base import ForeignClient
from handover_client.connection.foreign.groot import GrootClient
from handover_client.connection.foreign.openpi import OpenpiClient
from handover_client.connection.foreign.spec_file import ToldSpec, read_spec_file
from handover_client.connection.policy_client import PolicyClient
from handover_client.connection.requests import check_codec
from handover_client.connection.security import UNPROTECTED, ChannelSecurity

AnyClient = PolicyClient | ForeignClient

_FOREIGN: dict[str, type[ForeignClient]] = {"openpi": OpenpiClient, "groot": GrootClient}


def open_server(
    address: str,
    image_codec: ImageCodec | str = ImageCodec.RAW_RGB8,
    call_timeout_s: float = 10.0,
    security: ChannelSecurity = UNPROTECTED,
    told: ToldSpec | None = None,
) -> AnyClient:
    """Return a client that connects when it is first asked; the arguments are connect_server's."""
    place = ServerAddress.parse(address)
    if not place.scheme:
        if told is not None:
            raise UsageError(
                f"--spec is for servers of other projects; the one at {address} tells all of it"
            )
        return PolicyClient(address, image_codec, call_timeout_s, security)
    return _FOREIGN[place.scheme](place, call_timeout_s, security, told)


def connect_server(
    address: str,
    *,
    timeout_s: float = 60.0,
    call_timeout_s: float = 10.0,
    image_codec: ImageCodec | str = ImageCodec.RAW_RGB8,
    security: ChannelSecurity = UNPROTECTED,
    channel_options: ChannelOptions = (),
    spec: Path | None = None,
) -> AnyClient:
    """Wait until the server at an address is ready; as PolicyClient.connect.

    address: HOST:PORT, openpi://HOST:PORT or groot://HOST:PORT
    spec: the file of --spec, for what the last two do not tell

    Raises what PolicyClient.connect raises, NotTold, and UsageError for the file.
    """
    told = None if spec is None else read_spec_file(spec)
    if not ServerAddress.parse(address).scheme and told is None:
        return PolicyClient.connect(
            address,
            timeout_s=timeout_s,
            call_timeout_s=call_timeout_s,
            image_codec=image_codec,
            security=security,
            channel_options=channel_options,
        )
    client = open_server(address, image_codec, call_timeout_s, security, told)
    try:
        client.wait_until_ready(timeout_s)
        check_codec(ImageCodec.parse(image_codec), client.info)
    except BaseException:
        client.close()
        raise
    return client
