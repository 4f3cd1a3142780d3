"""Measurements in a checkpoint's metadata and card: the command `handover card`."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_training.card.config import CardConfig
    from handover_training.card.run import write_latency

__getattr__, __dir__ = lazy(__name__, __file__)
