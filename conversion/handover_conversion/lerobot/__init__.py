"""LeRobot datasets (2.0, 2.1, 3.0): reading and writing."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_conversion.lerobot.frame_statistics import (
        RecordingCodec,
        VideoRecorder,
        encoder_settings,
    )
    from handover_conversion.lerobot.writer import RecordedSteps, RecordingFormat, write_recordings

__getattr__, __dir__ = lazy(__name__, __file__)
