"""The network that ships, before training: N1.6's architecture at a size for two CPU cores."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
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
)
from handover_model.processing import (
    IMAGE_TOKEN,
    PAD_TOKEN,
    TAG,
    EmbodimentStatistics,
    ImageOptions,
    KeyStatistics,
    NormalizeOptions,
    Processor,
    ProcessorConfig,
    PromptTokenizer,
    aloha_modality,
    in_slot,
    make_processor,
)
from handover_proto import GR1_DIMS, RELATIVE_GROUPS, split_groups, widen

from handover_training.aloha_mini.tokenizer import train_tokenizer

HORIZON = 16
IMAGE_EDGE = 168  # pixels: 12 x 12 patches, 36 image tokens
PIXELS_PER_TOKEN = 28
WIDTH = 32  # room for the 29 slots of state and action
LANGUAGE_LAYERS = 2
DIT = DitConfig(
    num_layers=4, num_attention_heads=4, attention_head_dim=32, output_dim=128, dropout=0.0
)


def mini_eagle(image_token: int, vocabulary: int) -> EagleConfig:
    """Size the backbone."""
    return EagleConfig(
        vision_config=VisionConfig(
            hidden_size=96,
            intermediate_size=256,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_patches=144,
        ),
        text_config=TextConfig(
            hidden_size=96,
            intermediate_size=192,
            num_attention_heads=4,
            num_key_value_heads=4,
            head_dim=24,
            vocab_size=vocabulary,
            max_position_embeddings=4096,
        ),
        image_token_index=image_token,
    )


def mini_config() -> ModelConfig:
    """Size the action head."""
    return ModelConfig(
        diffusion_model_cfg=DIT,
        model_name="handover/eagle-mini",
        backbone_embedding_dim=96,
        select_layer=LANGUAGE_LAYERS,
        hidden_size=DIT.output_dim,
        input_embedding_dim=DIT.width,
        max_state_dim=WIDTH,
        max_action_dim=WIDTH,
        action_horizon=HORIZON,
        max_seq_len=64,
        max_num_embodiments=1,
        tune_top_llm_layers=0,
    )


def draw_network(seed: int) -> Gr00tNetwork:
    """Build the network with random weights; the same seed, the same weights."""
    tokenizer = train_tokenizer()
    image_token = tokenizer.token_to_id(IMAGE_TOKEN)
    assert image_token is not None
    vocabulary = tokenizer.get_vocab_size(with_added_tokens=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Gr00tNetwork(mini_config(), mini_eagle(image_token, vocabulary))
        _spread_head(network.action_head)
    return network


@torch.no_grad()
def _spread_head(head: ActionHead) -> None:
    """Give the new head's inputs a size that training from scratch can see.

    Made to be finetuned, these layers start so small that the positions would drown them.
    """
    for module in head.modules():
        if isinstance(module, EmbodimentLinear):
            width_in = module.W.shape[1]
            module.W.normal_(0, width_in**-0.5)
    head.action_decoder.layer2.W.mul_(0.1)
    head.position_embedding.weight.mul_(0.3)


def mini_processor(statistics: EmbodimentStatistics) -> ProcessorConfig:
    """Make the processor's settings for statistics of ALOHA data."""
    config = ProcessorConfig(
        modalities={TAG: aloha_modality(HORIZON)},
        statistics={TAG: statistics},
        image=ImageOptions(shortest_image_edge=IMAGE_EDGE),
        normalize=NormalizeOptions(use_relative_action=True),
        max_state_dim=WIDTH,
        max_action_dim=WIDTH,
        max_action_horizon=HORIZON,
    )
    return in_slot(config, 0)


def prompt_tokenizer() -> PromptTokenizer:
    """Make the small network's tokenizer."""
    tokenizer = train_tokenizer()
    image_token, pad_token = (tokenizer.token_to_id(name) for name in (IMAGE_TOKEN, PAD_TOKEN))
    assert image_token is not None
    assert pad_token is not None
    return PromptTokenizer(tokenizer, image_token, pad_token)


def open_processor(config: ProcessorConfig) -> Processor:
    """Make the processor itself, with the small tokenizer."""
    return make_processor(config, prompt_tokenizer(), TAG, PIXELS_PER_TOKEN)


def chunk_statistics(states: np.ndarray, chunks: np.ndarray) -> EmbodimentStatistics:
    """Measure ALOHA samples: (N, 14) states, (N, 16, 14) chunks of absolute targets."""
    state, action = split_groups(widen(states)), split_groups(widen(chunks))
    relative = {
        key: _measure(action[key].astype(np.float64) - state[key][:, None])
        for key in RELATIVE_GROUPS
    }
    return EmbodimentStatistics(
        {key: _measure(state[key]) for key in GR1_DIMS},
        {key: _measure(action[key].reshape(-1, dim)) for key, dim in GR1_DIMS.items()},
        relative,
    )


def widened(known: EmbodimentStatistics, more: EmbodimentStatistics) -> EmbodimentStatistics:
    """Give statistics whose ranges hold those of others as well; all else stays as it was."""

    def each(
        mine: Mapping[str, KeyStatistics], others: Mapping[str, KeyStatistics]
    ) -> dict[str, KeyStatistics]:
        return {
            key: replace(
                entry,
                min=np.minimum(entry.min, others[key].min),
                max=np.maximum(entry.max, others[key].max),
            )
            for key, entry in mine.items()
        }

    return EmbodimentStatistics(
        each(known.state, more.state),
        each(known.action, more.action),
        each(known.relative_action, more.relative_action),
    )


def groups_of(joints: np.ndarray) -> Mapping[str, np.ndarray]:
    """Name the groups of joint rows: (T, 14) -> {group: (T, dim)}."""
    return split_groups(widen(joints))


def _measure(values: np.ndarray) -> KeyStatistics:
    values = values.astype(np.float64)
    low, high = np.quantile(values, (0.01, 0.99), axis=0)
    return KeyStatistics(
        values.min(0), values.max(0), values.mean(0), values.std(0), np.asarray(low), high
    )
