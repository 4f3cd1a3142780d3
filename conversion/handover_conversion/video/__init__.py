"""Decoding, resizing and encoding video frames."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_conversion.video.encode import Encoding, Mp4Encoder
    from handover_conversion.video.frame_index import VideoError
    from handover_conversion.video.resize import square_resize

__getattr__, __dir__ = lazy(__name__, __file__)
