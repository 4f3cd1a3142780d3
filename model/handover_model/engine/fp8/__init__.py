"""FP8 linear layers and their scales."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_model.engine.fp8.scales import SCALES_FILE, Fp8Scales, save_scales

__getattr__, __dir__ = lazy(__name__, __file__)
