"""A layout's tables, and the whole network's weights, both taken once at load."""

import torch

from handover_model.engine.functional.chunk import EngineWeights, Tables
from handover_model.engine.functional.fold_action_head import take_head
from handover_model.engine.functional.language import make_rotation, take_language, visible_keys
from handover_model.engine.functional.token_layout import TokenLayout
from handover_model.engine.functional.vision import fold_positions, take_vision
from handover_model.network.groot import Gr00tNetwork


def take_weights(network: Gr00tNetwork, embodiment: int) -> EngineWeights:
    """Take a network's weights for one embodiment; the large ones stay shared with it."""
    eagle = network.backbone.model
    return EngineWeights(
        take_vision(eagle),
        take_language(eagle.language_model),
        take_head(network.action_head, embodiment),
    )


@torch.no_grad()
def make_tables(network: Gr00tNetwork, layout: TokenLayout) -> Tables:
    """Compute a layout's tables on the network's device, in its types."""
    eagle = network.backbone.model
    embeddings = eagle.vision_model.vision_model.embeddings
    weight = eagle.language_model.model.embed_tokens.weight
    return Tables(
        make_rotation(eagle.language_model, layout, weight.dtype),
        tuple(fold_positions(embeddings, down, right) for down, right in layout.grids),
        visible_keys(layout, weight.device),
    )
