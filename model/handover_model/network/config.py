"""Network configuration: the sizes and options of a checkpoint's config.json.

A key that config.json leaves out has the default here. The defaults are those of NVIDIA's N1.6
code, not the values of the published checkpoint, which writes its own.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handover_model.errors import CheckpointError
from handover_model.network.json_settings import MAX_SIZE, read_json, read_settings

CONFIG_FILE = "config.json"
MODEL_TYPE = "Gr00tN1d6"


@dataclass(frozen=True)
class DitConfig:
    """The diffusion transformer (`diffusion_model_cfg`)."""

    num_layers: int = 32
    num_attention_heads: int = 32
    attention_head_dim: int = 48
    output_dim: int = 1024
    dropout: float = 0.2
    final_dropout: bool = True
    interleave_self_attention: bool = True

    @property
    def width(self) -> int:
        """Width of the tokens inside the transformer."""
        return self.num_attention_heads * self.attention_head_dim


@dataclass(frozen=True)
class ModelConfig:
    """The settings of config.json that the network reads."""

    diffusion_model_cfg: DitConfig = field(default_factory=DitConfig)
    model_name: str = "nvidia/Eagle-Block2A-2B-v2"
    backbone_embedding_dim: int = 2048
    select_layer: int = 16
    hidden_size: int = 1024
    input_embedding_dim: int = 1536
    max_state_dim: int = 29
    max_action_dim: int = 29
    action_horizon: int = 16
    max_seq_len: int = 1024
    max_num_embodiments: int = 32
    add_pos_embed: bool = True
    use_vlln: bool = True
    use_alternate_vl_dit: bool = True
    attend_text_every_n_blocks: int = 2
    num_inference_timesteps: int = 4
    num_timestep_buckets: int = 1000
    noise_beta_alpha: float = 1.5
    noise_beta_beta: float = 1.0
    noise_s: float = 0.999
    state_dropout_prob: float = 0.0
    state_additive_noise_scale: float = 0.0
    tune_projector: bool = True
    tune_diffusion_model: bool = True
    tune_vlln: bool = True
    tune_llm: bool = False
    tune_visual: bool = False
    tune_top_llm_layers: int = 4
    reproject_vision: bool = False
    other: dict[str, Any] = field(default_factory=dict)
    """Keys of config.json that the network does not read; written back as they came."""

    def to_json(self) -> dict[str, Any]:
        """Return config.json's content: every setting, and the unread keys as they came."""
        values = dataclasses.asdict(self)
        other = values.pop("other")
        own_dit = values["diffusion_model_cfg"]
        values["diffusion_model_cfg"] = {**other.pop("diffusion_model_cfg", {}), **own_dit}
        return {"model_type": MODEL_TYPE, "architectures": [MODEL_TYPE], **other, **values}


def parse_config(values: Mapping[str, Any], place: str = CONFIG_FILE) -> ModelConfig:
    """Read config.json's content.

    Raises CheckpointError naming `place` for a value of a wrong type, for sizes that contradict
    each other and for a variant of the network that has never been published.
    """
    dit_values = values.get("diffusion_model_cfg") or {}
    dit = read_settings(DitConfig, dit_values, f"{place}, diffusion_model_cfg")
    known = {entry.name for entry in dataclasses.fields(ModelConfig)} - {"other"}
    flat = {name: value for name, value in values.items() if name != "diffusion_model_cfg"}
    other: dict[str, Any] = {name: value for name, value in flat.items() if name not in known}
    unread_dit = {name: value for name, value in dit_values.items() if not hasattr(DitConfig, name)}
    if unread_dit:
        other["diffusion_model_cfg"] = unread_dit
    flat.pop("other", None)
    config = dataclasses.replace(
        read_settings(ModelConfig, flat, place), diffusion_model_cfg=dit, other=other
    )
    _check(config, dit_values, place)
    return config


def load_config(folder: Path) -> ModelConfig:
    """Read config.json of a checkpoint folder; CheckpointError when it is not N1.6."""
    path = folder / CONFIG_FILE
    values = read_json(path)
    model_type = values.get("model_type", MODEL_TYPE)
    if model_type != MODEL_TYPE:
        raise CheckpointError(
            f"{path}: model_type is {model_type!r}, expected {MODEL_TYPE!r} (GR00T N1.6); "
            "other releases have another network"
        )
    return parse_config(values, str(path))


_COUNTS = (
    *("num_inference_timesteps", "attend_text_every_n_blocks", "action_horizon"),
    *("max_state_dim", "max_action_dim", "max_num_embodiments", "num_timestep_buckets"),
)

_MOST = {"num_inference_timesteps": 256, "action_horizon": 4096}  # no weight tells these


def _check(config: ModelConfig, dit_values: Mapping[str, Any], place: str) -> None:
    dit = config.diffusion_model_cfg
    if dit.width != config.input_embedding_dim:
        raise CheckpointError(
            f"{place}: input_embedding_dim is {config.input_embedding_dim}, expected heads x "
            f"head size = {dit.num_attention_heads} x {dit.attention_head_dim} = {dit.width}"
        )
    if dit.output_dim != config.hidden_size:
        raise CheckpointError(
            f"{place}: diffusion_model_cfg.output_dim is {dit.output_dim}, expected hidden_size "
            f"= {config.hidden_size}, which the action decoder reads"
        )
    if config.add_pos_embed and config.action_horizon > config.max_seq_len:
        raise CheckpointError(
            f"{place}: action_horizon {config.action_horizon} is beyond the "
            f"{config.max_seq_len} rows of the position table (max_seq_len)"
        )
    for name in _COUNTS:
        most = _MOST.get(name, MAX_SIZE)
        if not 1 <= getattr(config, name) <= most:
            raise CheckpointError(
                f"{place}: {name} is {getattr(config, name)}, expected 1 to {most}"
            )
    norm_type = dit_values.get("norm_type", "ada_norm")
    positions = dit_values.get("positional_embeddings")
    if norm_type != "ada_norm" or positions is not None or config.reproject_vision:
        raise CheckpointError(
            f"{place}: this variant is not implemented (norm_type {norm_type!r}, "
            f"positional_embeddings {positions!r}, reproject_vision {config.reproject_vision}); "
            "expected ada_norm, null and false, as in every N1.6 checkpoint"
        )
