"""The check of a dataset: structure, rows, videos, statistics, and its content as a person sees it.

Faults are what would fail or train wrongly; the rest are notes.
"""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_conversion.check.run import check_dataset

__getattr__, __dir__ = lazy(__name__, __file__)
