"""Networks of a few thousand weights, for tests of the mathematics."""

import dataclasses

import torch
from handover_model.network.backbone import BackboneOutput
from handover_model.network.config import DitConfig, ModelConfig
from handover_model.network.eagle_config import EagleConfig, TextConfig, VisionConfig
from handover_model.network.groot import Gr00tNetwork

IMAGE_TOKEN = 60
EAGLE = EagleConfig(
    vision_config=VisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_patches=16,
    ),
    text_config=TextConfig(
        hidden_size=24,
        intermediate_size=32,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        vocab_size=64,
        max_position_embeddings=256,
    ),
    image_token_index=IMAGE_TOKEN,
)
CONFIG = ModelConfig(
    diffusion_model_cfg=DitConfig(
        num_layers=4, num_attention_heads=2, attention_head_dim=8, output_dim=12
    ),
    backbone_embedding_dim=24,
    select_layer=2,
    hidden_size=12,
    input_embedding_dim=16,
    max_state_dim=5,
    max_action_dim=6,
    action_horizon=4,
    max_seq_len=8,
    max_num_embodiments=3,
    tune_top_llm_layers=1,
)


def network(seed: int = 0, **changes: object) -> Gr00tNetwork:
    """Draw a tiny network whose every weight matters (biases and norms are not at 0 and 1)."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        built = Gr00tNetwork(dataclasses.replace(CONFIG, **changes), EAGLE).eval()
        for weight in built.parameters():
            weight.data += 0.1 * torch.randn_like(weight)
        return built


def backbone_output(samples: int = 2, length: int = 7, seed: int = 1) -> BackboneOutput:
    """Random features: text, then image tokens, the first sample left-padded by one."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(samples, length, CONFIG.backbone_embedding_dim, generator=generator)
    mask = torch.ones(samples, length, dtype=torch.bool)
    mask[0, 0] = False
    image = torch.zeros_like(mask)
    image[:, 3:6] = True
    return BackboneOutput(features, mask, image)


def normal(*shape: int, seed: int = 2) -> torch.Tensor:
    """Random numbers of a shape."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
