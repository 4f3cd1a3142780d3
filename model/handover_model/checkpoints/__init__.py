"""Checkpoint folders: weights, configuration, hashes, metadata, model card."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_model.checkpoints.checkpoint import (
        HASH_CACHE,
        load_checkpoint,
        load_network,
        read_unused,
        save_checkpoint,
    )
    from handover_model.checkpoints.hashes import weights_hash
    from handover_model.checkpoints.metadata import (
        METADATA_FILE,
        CheckpointMetadata,
        dataset_metadata,
        load_metadata,
        save_metadata,
    )
    from handover_model.checkpoints.model_card import random_weights_card, write_card
    from handover_model.checkpoints.weights import (
        WeightFiles,
        open_weights,
        read_weights,
        weight_files,
    )

__getattr__, __dir__ = lazy(__name__, __file__)
