"""Wire format: the contract's types as protobuf messages, and back."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_proto.wire.codec import compress
    from handover_proto.wire.info import decode_info, encode_info
    from handover_proto.wire.messages import (
        ERROR_METADATA_KEY,
        decode_chunk,
        decode_error,
        decode_request,
        encode_chunk,
        encode_error,
        serialize_request,
    )

__getattr__, __dir__ = lazy(__name__, __file__)
