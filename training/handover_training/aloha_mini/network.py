"""Small networks of N1.6's architecture: the one that ships, and one for random checkpoints."""

import dataclasses
from dataclasses import dataclass

import torch
from handover_model.network import (
    ActionHead,
    DitConfig,
    EagleConfig,
    EmbodimentLinear,
    Gr00tNetwork,
    ModelConfig,
    TextConfig,
    VisionConfig,
    unused_shapes,
)
from handover_model.processing import IMAGE_TOKEN
from handover_proto import CHUNK_STEPS
from tokenizers import Tokenizer
from torch import Tensor

from handover_training.aloha_mini.tokenizer import train_tokenizer

WIDTH = 32  # room for the 29 slots of state and action
LANGUAGE_LAYERS = 2


@dataclass(frozen=True)
class NetworkSize:
    """The numbers in which small networks differ."""

    vision: VisionConfig
    text: TextConfig
    """Its vocabulary does not count: a network takes its tokenizer's"""
    dit: DitConfig
    tune_top_llm_layers: int
    """Language layers that finetuning trains by default"""
    from_scratch: bool
    """Whether the head is drawn to be trained from nothing, not to be finetuned"""
    embodiments: int = 1
    """Slots for embodiments"""

    def eagle(self, tokenizer: Tokenizer) -> EagleConfig:
        """Size the backbone for a tokenizer, which must have the image tokens."""
        image_token = tokenizer.token_to_id(IMAGE_TOKEN)
        assert image_token is not None
        vocabulary = tokenizer.get_vocab_size(with_added_tokens=True)
        text = dataclasses.replace(self.text, vocab_size=vocabulary)
        return EagleConfig(self.vision, text, image_token)

    def model(self, horizon: int) -> ModelConfig:
        """Size the action head."""
        return ModelConfig(
            diffusion_model_cfg=self.dit,
            model_name="handover/eagle-mini",
            backbone_embedding_dim=self.text.hidden_size,
            select_layer=LANGUAGE_LAYERS,
            hidden_size=self.dit.output_dim,
            input_embedding_dim=self.dit.width,
            max_state_dim=WIDTH,
            max_action_dim=WIDTH,
            action_horizon=horizon,
            max_seq_len=64,
            max_num_embodiments=self.embodiments,
            tune_top_llm_layers=self.tune_top_llm_layers,
        )


# trained from nothing on two CPU cores
SHIPPED = NetworkSize(
    VisionConfig(
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_patches=144,
    ),
    TextConfig(
        hidden_size=96,
        intermediate_size=192,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=24,
        max_position_embeddings=4096,
    ),
    DitConfig(
        num_layers=4, num_attention_heads=4, attention_head_dim=32, output_dim=128, dropout=0.0
    ),
    tune_top_llm_layers=0,
    from_scratch=True,
)
# random weights, for plumbing
RANDOM = NetworkSize(
    VisionConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4),
    TextConfig(
        hidden_size=64,
        intermediate_size=128,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=4096,
    ),
    DitConfig(num_layers=8, num_attention_heads=4, attention_head_dim=16, output_dim=64),
    tune_top_llm_layers=LANGUAGE_LAYERS,
    from_scratch=False,
    embodiments=4,
)


def draw_network(
    size: NetworkSize, seed: int, tokenizer: Tokenizer | None = None, horizon: int = CHUNK_STEPS
) -> Gr00tNetwork:
    """Build a network with random weights; the same seed, the same weights.

    tokenizer: the small one by default
    """
    eagle = size.eagle(tokenizer or train_tokenizer())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Gr00tNetwork(size.model(horizon), eagle)
        if size.from_scratch:
            _spread_head(network.action_head)
    return network


def zero_unused(eagle: EagleConfig) -> dict[str, Tensor]:
    """Return zeros for the weights that the layout has and no computation reads."""
    return {key: torch.zeros(shape) for key, shape in unused_shapes(eagle).items()}


@torch.no_grad()
def _spread_head(head: ActionHead) -> None:
    """Scale the new head's input layers for training from scratch.

    Made to be finetuned, these layers start so small that the positions would drown them.
    """
    for module in head.modules():
        if isinstance(module, EmbodimentLinear):
            width_in = module.W.shape[1]
            module.W.normal_(0, width_in**-0.5)
    head.action_decoder.layer2.W.mul_(0.1)
    head.position_embedding.weight.mul_(0.3)
