"""Messages of other projects' protocols: msgpack within bounds, and its arrays, never pickled."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_proto.msgpack_wire.arrays import (
        as_float32,
        nd,
        npy,
        openpi_array,
        read_nd,
        read_npy,
        read_openpi_array,
        read_seed,
    )
    from handover_proto.msgpack_wire.guard import MAX_DEPTH, MAX_PARTS, pack, unpack

__getattr__, __dir__ = lazy(__name__, __file__)
