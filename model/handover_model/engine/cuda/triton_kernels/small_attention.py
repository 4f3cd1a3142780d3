"""Attention of few queries with small heads as one Triton kernel.

Libraries pad heads of 48 and 72 numbers to 64 and 128 in memory, and their result has to be copied
to another layout for the next layer. Here the padding stays inside the kernel, and rows come out as
needed.
"""

# pyright: reportMissingImports=false, reportIndexIssue=false
# pyright: reportPossiblyUnboundVariable=false
# ruff: noqa: ANN001, ANN201, ANN202 - a kernel's arguments are pointers and numbers of Triton's own
import torch
import triton
import triton.language as tl
from torch import Tensor

from handover_model.engine.cuda.triton_kernels.dot import dot

QUERIES, KEYS = 16, 64  # of a block


@triton.jit
def attention_kernel(
    query, key, value, mask, out, heads, queries, keys, scale,
    query_batch, query_head, query_token, key_batch, key_head, key_token,
    value_batch, value_head, value_token, mask_batch,
    MASK: tl.constexpr, SIZE: tl.constexpr, BLOCK_SIZE: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr, BLOCK_KEYS: tl.constexpr,
):  # fmt: skip
    batch, head = tl.program_id(1) // heads, tl.program_id(1) % heads
    row = tl.program_id(0) * BLOCK_QUERIES + tl.arange(0, BLOCK_QUERIES)
    number = tl.arange(0, BLOCK_SIZE)
    kind = query.dtype.element_ty
    asked = (row < queries)[:, None] & (number < SIZE)[None, :]
    start = query + batch * query_batch + head * query_head
    own = tl.load(start + row[:, None] * query_token + number[None, :], mask=asked, other=0.0)
    highest = tl.full((BLOCK_QUERIES,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_QUERIES,), tl.float32)
    mixed = tl.zeros((BLOCK_QUERIES, BLOCK_SIZE), tl.float32)
    for first in range(0, keys, BLOCK_KEYS):
        place = first + tl.arange(0, BLOCK_KEYS)
        seen = place < keys
        there = seen[:, None] & (number < SIZE)[None, :]
        start = key + batch * key_batch + head * key_head
        read = tl.load(start + place[:, None] * key_token + number[None, :], mask=there, other=0.0)
        if MASK:
            seen = seen & (tl.load(mask + batch * mask_batch + place, mask=seen, other=0) != 0)
        scores = dot(own, tl.trans(read), tl.zeros((BLOCK_QUERIES, BLOCK_KEYS), tl.float32)) * scale
        scores = tl.where(seen[None, :], scores, float("-inf"))
        higher = tl.maximum(highest, tl.max(scores, 1))
        safe = tl.where(higher == float("-inf"), 0.0, higher)  # no key seen yet
        shrink = tl.exp(highest - safe)
        weights = tl.exp(scores - safe[:, None])
        start = value + batch * value_batch + head * value_head
        read = tl.load(
            start + place[:, None] * value_token + number[None, :], mask=there, other=0.0
        )
        mixed = dot(weights.to(kind), read, mixed * shrink[:, None])
        total = total * shrink + tl.sum(weights, 1)
        highest = higher
    place = (batch * queries + row)[:, None] * (heads * SIZE) + head * SIZE + number[None, :]
    tl.store(out + place, (mixed / total[:, None]).to(kind), mask=asked)


@torch.library.custom_op(
    "handover::small_attention", mutates_args=(), tags=torch.Tag.needs_fixed_stride_order
)
def small_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Attend: each (B, heads, tokens, head size), size's stride 1 -> (B, queries, width).

    mask: (B, 1, 1, keys) bool, true where a key counts.
    """
    batch, heads, queries, size = query.shape
    keys = key.shape[2]
    out = torch.empty(batch, queries, heads * size, dtype=query.dtype, device=query.device)
    attention_kernel[(triton.cdiv(queries, QUERIES), batch * heads)](
        query, key, value, out if mask is None else mask, out, heads, queries, keys, size**-0.5,
        *query.stride()[:3], *key.stride()[:3], *value.stride()[:3],
        0 if mask is None or mask.shape[0] == 1 else mask.stride(0),
        MASK=mask is not None, SIZE=size, BLOCK_SIZE=max(16, triton.next_power_of_2(size)),
        BLOCK_QUERIES=QUERIES, BLOCK_KEYS=KEYS, num_warps=4, num_stages=2,
    )  # fmt: skip
    return out


@small_attention.register_fake
def _(query, key, value, mask):
    batch, heads, queries, size = query.shape
    return query.new_empty(batch, queries, heads * size)
