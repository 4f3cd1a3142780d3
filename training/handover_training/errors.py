"""Errors of a training run, beyond a bad dataset or a bad checkpoint."""

from handover_common import HandoverError


class TrainingError(HandoverError):
    """A run cannot start or cannot continue."""


class RunFolderError(TrainingError):
    """The output folder belongs to another run, or a run is using it."""


class DivergedError(TrainingError):
    """The loss or the gradient is no longer a number."""
