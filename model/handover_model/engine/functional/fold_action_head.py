"""Folding of the action head for one embodiment and the configured denoising steps.

In exact arithmetic nothing changes; products of weights are computed in float64 and rounded once.
"""

import torch
from torch import Tensor, nn

from handover_model.engine.functional.action_head import (
    IMAGE,
    SELF,
    TEXT,
    BlockWeights,
    HeadWeights,
    Mlp,
    StepWeights,
)
from handover_model.engine.functional.linear import Linear, Norm, dense, fuse, norm
from handover_model.network.action_head import ActionHead
from handover_model.network.dit import Block, GeluProjection
from handover_model.network.embodiment_layers import EmbodimentLinear, EmbodimentMlp
from handover_model.network.timestep_embedding import action_sinusoid


@torch.no_grad()
def take_head(head: ActionHead, embodiment: int) -> HeadWeights:
    """Fold a head for one embodiment; its blocks' weights stay shared with the network's."""
    encoder, width = head.action_encoder, head.config.input_embedding_dim
    first, second, third = (
        _slot(layer, embodiment) for layer in (encoder.W1, encoder.W2, encoder.W3)
    )
    horizon = head.config.action_horizon
    positions = third[1].expand(horizon, -1)
    if head.config.add_pos_embed:
        positions = positions + head.position_embedding.weight.detach()[:horizon]
    kinds = block_kinds(head)
    blocks = [block for block in head.model.transformer_blocks if isinstance(block, Block)]
    dtype = head.dtype
    return HeadWeights(
        features=norm(head.vlln) if isinstance(head.vlln, nn.LayerNorm) else None,
        text_memory=_memory(blocks, kinds, TEXT),
        image_memory=_memory(blocks, kinds, IMAGE),
        state=_mlp(head.state_encoder, embodiment),
        encode_in=(first[0].double() @ second[0][:width].double()).to(dtype),
        encode_out=third[0],
        positions=positions.contiguous(),
        blocks=tuple(map(_block, blocks, kinds)),
        steps=tuple(
            _step(head, blocks, head.bucket(step), first[1], second)
            for step in range(head.config.num_inference_timesteps)
        ),
        clean=_step(head, blocks, head.clean_bucket, first[1], second),
        decode=_decoder(head, embodiment),
        heads=head.config.diffusion_model_cfg.num_attention_heads,
    )


def block_kinds(head: ActionHead) -> list[str]:
    """Return what each block attends to; not for the variant that reads text and images alike."""
    period = head.model.text_period
    assert period is not None
    return [
        SELF if not block.crosses else TEXT if number % (2 * period) == 0 else IMAGE
        for number, block in enumerate(head.model.transformer_blocks)
        if isinstance(block, Block)
    ]


def _step(
    head: ActionHead,
    blocks: list[Block],
    bucket: int,
    bias1: Tensor,
    second: tuple[Tensor, Tensor],
) -> StepWeights:
    """Compute one step's weights: the timestep's part of every layer that reads it."""
    weight, bias = second
    width = bias1.shape[0]
    time = torch.tensor([bucket], device=bias.device)
    waves = action_sinusoid(time, width)[0].to(bias.dtype)
    joined = torch.cat([bias1, waves]).double()
    embedded = head.model.timestep_encoder(time)
    silu = nn.functional.silu(embedded)
    shift, scale = head.model.proj_out_1(silu)[0].chunk(2)
    return StepWeights(
        encoder_bias=(joined @ weight.double() + bias.double()).to(bias.dtype),
        norms=tuple(_timed_norm(block, silu) for block in blocks),
        output_norm=Norm(1 + scale, shift.contiguous(), head.model.norm_out.eps),
    )


def _timed_norm(block: Block, silu: Tensor) -> Norm:
    scale, shift = block.norm1.linear(silu)[0].chunk(2)
    return Norm(1 + scale, shift.contiguous(), block.norm1.norm.eps)


def _block(block: Block, kind: str) -> BlockWeights:
    attention, (up, _, down, *_) = block.attn1, block.ff.net
    assert isinstance(up, GeluProjection)
    query = attention.to_q.weight
    return BlockWeights(
        reads=kind,
        project=fuse([attention.to_q, attention.to_k, attention.to_v])
        if kind == SELF
        else dense(attention.to_q),
        out=dense(attention.to_out[0]),
        norm2=Norm(torch.ones_like(query[0]), torch.zeros_like(query[0]), block.norm3.eps),
        up=dense(up.proj),
        down=dense(down),
    )


def _memory(blocks: list[Block], kinds: list[str], wanted: str) -> Linear | None:
    chosen = [block.attn1 for block, kind in zip(blocks, kinds, strict=True) if kind == wanted]
    layers = [layer for attention in chosen for layer in (attention.to_k, attention.to_v)]
    return fuse(layers) if layers else None


def _decoder(head: ActionHead, embodiment: int) -> Mlp:
    """Fold the transformer's output projection into the decoder's first layer."""
    decoder, projection = _mlp(head.action_decoder, embodiment), head.model.proj_out_2
    first = decoder.weight1.double()
    weight = projection.weight.detach().double().T @ first
    bias = projection.bias.detach().double() @ first + decoder.bias1.double()
    return Mlp(weight.to(head.dtype), bias.to(head.dtype), decoder.weight2, decoder.bias2)


def _mlp(mlp: EmbodimentMlp, embodiment: int) -> Mlp:
    return Mlp(*_slot(mlp.layer1, embodiment), *_slot(mlp.layer2, embodiment))


def _slot(layer: EmbodimentLinear, embodiment: int) -> tuple[Tensor, Tensor]:
    """Return one embodiment's weight (in, out) and bias (out,), as views."""
    return layer.W.detach()[embodiment], layer.b.detach()[embodiment]
