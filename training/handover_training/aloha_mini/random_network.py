"""The sizes of the small network, and its random weights."""

import torch
from handover_model.network import (
    DitConfig,
    EagleConfig,
    Gr00tNetwork,
    ModelConfig,
    TextConfig,
    VisionConfig,
    unused_shapes,
)
from handover_model.processing import IMAGE_TOKEN, ProcessorConfig
from tokenizers import Tokenizer
from torch import Tensor

TEXT_WIDTH = 64
LANGUAGE_LAYERS = 2
DIT = DitConfig(num_layers=8, num_attention_heads=4, attention_head_dim=16, output_dim=64)


def mini_config(processor: ProcessorConfig) -> ModelConfig:
    """Size the small network for a processor's widths; one slot, for the one embodiment."""
    return ModelConfig(
        diffusion_model_cfg=DIT,
        model_name="handover/eagle-mini",
        backbone_embedding_dim=TEXT_WIDTH,
        select_layer=LANGUAGE_LAYERS,
        hidden_size=DIT.output_dim,
        input_embedding_dim=DIT.width,
        max_state_dim=processor.max_state_dim,
        max_action_dim=processor.max_action_dim,
        action_horizon=processor.max_action_horizon,
        max_seq_len=64,
        max_num_embodiments=1,
        tune_top_llm_layers=LANGUAGE_LAYERS,
    )


def mini_eagle(tokenizer: Tokenizer) -> EagleConfig:
    """Size the small backbone for a tokenizer, which must have the image tokens."""
    image_token = tokenizer.token_to_id(IMAGE_TOKEN)
    assert image_token is not None
    return EagleConfig(
        vision_config=VisionConfig(
            hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4
        ),
        text_config=TextConfig(
            hidden_size=TEXT_WIDTH,
            intermediate_size=128,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
            vocab_size=tokenizer.get_vocab_size(with_added_tokens=True),
            max_position_embeddings=4096,
        ),
        image_token_index=image_token,
    )


def draw_network(tokenizer: Tokenizer, processor: ProcessorConfig, seed: int) -> Gr00tNetwork:
    """Build the small network with random weights; the same seed, the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Gr00tNetwork(mini_config(processor), mini_eagle(tokenizer)).eval()


def zero_unused(eagle: EagleConfig) -> dict[str, Tensor]:
    """Give zeros for the weights that the layout has and no computation reads."""
    return {key: torch.zeros(shape) for key, shape in unused_shapes(eagle).items()}
