"""What can be wrong with a checkpoint, its tokenizer, its statistics or its processor files."""

from handover_common import HandoverError


class CheckpointError(HandoverError):
    """A checkpoint folder or its weights are not what the network expects."""


class TokenizerError(HandoverError):
    """No tokenizer was found, or it lacks the tokens that the model was trained with."""


class ModalityError(HandoverError):
    """A modality configuration, or data that does not fit it."""


class StatisticsError(HandoverError):
    """Normalisation statistics are missing or of another shape than their keys."""
