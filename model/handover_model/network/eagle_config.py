"""Backbone configuration: the sizes of the vision-language model, Eagle-Block2A-2B-v2.

A published N1.6 checkpoint names its backbone without describing it, so the sizes are built in
here. Our small checkpoints describe their own in `eagle_config.json`; settings that it leaves out
are those of the built-in one.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handover_model.errors import CheckpointError
from handover_model.network.json_settings import read_json, read_settings

EAGLE_FILES = ("eagle_config.json", "tiny_eagle_config.json")
PACKAGED_NAME = "nvidia/Eagle-Block2A-2B-v2"


@dataclass(frozen=True)
class VisionConfig:
    """The SigLIP2-style vision tower."""

    hidden_size: int = 1152
    intermediate_size: int = 4304
    num_hidden_layers: int = 27
    num_attention_heads: int = 16
    num_channels: int = 3
    num_patches: int = 256
    patch_size: int = 14
    layer_norm_eps: float = 1e-6
    use_rope: bool = False
    use_windows_attn: bool = False
    hidden_act: str = "gelu_pytorch_tanh"

    @property
    def position_grid(self) -> int:
        """Side of the square grid of learned positions, in patches."""
        return round(self.num_patches**0.5)


@dataclass(frozen=True)
class TextConfig:
    """The Qwen3 language model; how many of its layers are kept is config.json's select_layer."""

    hidden_size: int = 2048
    intermediate_size: int = 6144
    num_attention_heads: int = 16
    num_key_value_heads: int = 8
    head_dim: int = 128
    vocab_size: int = 151680
    rms_norm_eps: float = 1e-6
    rope_theta: float = 1e6
    max_position_embeddings: int = 40960
    attention_bias: bool = False
    hidden_act: str = "silu"


@dataclass(frozen=True)
class EagleConfig:
    """The whole backbone."""

    vision_config: VisionConfig = field(default_factory=VisionConfig)
    text_config: TextConfig = field(default_factory=TextConfig)
    image_token_index: int = 151669
    downsample_ratio: float = 0.5

    @property
    def fold(self) -> int:
        """Side of the block of patches that becomes one image token."""
        return round(1 / self.downsample_ratio)

    @property
    def pixels_per_token(self) -> int:
        """Side of the square of pixels that becomes one image token; image sides divide by it."""
        return self.vision_config.patch_size * self.fold

    def to_json(self) -> dict[str, Any]:
        """Return eagle_config.json's content."""
        return dataclasses.asdict(self)


def parse_eagle(values: Mapping[str, Any], place: str) -> EagleConfig:
    """Read an Eagle configuration; CheckpointError for variants that are not implemented."""
    parts = ("vision_config", "text_config")
    own = {name: value for name, value in values.items() if name not in parts}
    eagle = dataclasses.replace(
        read_settings(EagleConfig, own, place),
        vision_config=read_settings(VisionConfig, values.get("vision_config") or {}, place),
        text_config=read_settings(TextConfig, values.get("text_config") or {}, place),
    )
    vision, text = eagle.vision_config, eagle.text_config
    divisors = {
        "downsample_ratio": eagle.downsample_ratio,
        "vision patch_size": vision.patch_size,
        "vision num_attention_heads": vision.num_attention_heads,
        "text num_attention_heads": text.num_attention_heads,
        "text num_key_value_heads": text.num_key_value_heads,
        "text head_dim": text.head_dim,
    }
    for name, size in divisors.items():
        if not size:
            raise CheckpointError(f"{place}: {name} is 0, expected more")
    if vision.position_grid**2 != vision.num_patches:
        raise CheckpointError(f"{place}: num_patches is {vision.num_patches}, expected a square")
    if vision.hidden_size % vision.num_attention_heads:
        raise CheckpointError(
            f"{place}: vision hidden_size {vision.hidden_size} is not a multiple of its "
            f"{vision.num_attention_heads} heads"
        )
    variants = {
        "use_rope": (vision.use_rope, False),
        "use_windows_attn": (vision.use_windows_attn, False),
        "vision hidden_act": (vision.hidden_act, "gelu_pytorch_tanh"),
        "text hidden_act": (text.hidden_act, "silu"),
        "fold (1/downsample_ratio)": (eagle.fold, 2),
    }
    for name, (got, expected) in variants.items():
        if got != expected:
            raise CheckpointError(f"{place}: {name} is {got!r}, only {expected!r} is implemented")
    return eagle


def load_eagle(folder: Path, model_name: str = PACKAGED_NAME) -> EagleConfig:
    """Read the backbone's sizes from a checkpoint folder, or return the built-in ones.

    Raises CheckpointError when the checkpoint names another backbone and does not describe it.
    """
    for name in EAGLE_FILES:
        if (folder / name).is_file():
            return parse_eagle(read_json(folder / name), str(folder / name))
    if model_name != PACKAGED_NAME:
        raise CheckpointError(
            f"{folder} uses the backbone {model_name!r}, which is not built in (only "
            f"{PACKAGED_NAME!r} is); put its sizes into {folder / EAGLE_FILES[0]}"
        )
    return EagleConfig()
