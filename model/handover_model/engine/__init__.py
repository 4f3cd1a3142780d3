"""Inference engines: the reference path, and faster ones that are checked against it."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_model.engine.calibration import calibrate

__getattr__, __dir__ = lazy(__name__, __file__)
