"""Errors of checkpoints, tokenizers, statistics and processor files."""

from handover_common import HandoverError


class CheckpointError(HandoverError):
    """A checkpoint folder or its weights do not fit the network."""


class TokenizerError(HandoverError):
    """No tokenizer was found, or it lacks tokens that the model was trained with."""


class ModalityError(HandoverError):
    """A modality configuration is wrong, or data does not fit it."""


class StatisticsError(HandoverError):
    """Normalization statistics are missing or have another shape than their keys."""
