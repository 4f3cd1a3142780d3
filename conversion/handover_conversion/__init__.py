"""Conversion of LeRobot recordings to GR00T datasets, and reading, writing and checking both."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_conversion.check.run import check_dataset
    from handover_conversion.errors import DatasetError, FaultyDataset
    from handover_conversion.findings import Finding, fault, note
    from handover_conversion.groot.dataset import GrootDataset
    from handover_conversion.metadata_files import read_json
    from handover_conversion.pipeline.config import ConvertConfig
    from handover_conversion.pipeline.run import convert
    from handover_conversion.pipeline.source import describe_source, open_recordings
    from handover_conversion.video.resize import square_resize

__getattr__, __dir__ = lazy(__name__, __file__)
