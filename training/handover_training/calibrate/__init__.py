"""FP8 calibration: the command `handover calibrate`."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_training.calibrate.config import CalibrateConfig
    from handover_training.calibrate.run import calibrate_checkpoint

__getattr__, __dir__ = lazy(__name__, __file__)
