"""The GR00T dataset: layout, reading, writing, statistics, validation."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_conversion.groot.dataset import Episode, GrootDataset
    from handover_conversion.groot.metadata import EpisodeEntry
    from handover_conversion.groot.statistics_cache import StatisticsCache
    from handover_conversion.groot.units import stated_units

__getattr__, __dir__ = lazy(__name__, __file__)
