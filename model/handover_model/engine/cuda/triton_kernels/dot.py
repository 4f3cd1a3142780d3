"""Product of two blocks, on a GPU and in Triton's interpreter."""

# pyright: reportMissingImports=false
# ruff: noqa: ANN001, ANN201 - a kernel's arguments are numbers of Triton's own
import triton
import triton.language as tl

# the interpreter (TRITON_INTERPRET=1) would multiply bfloat16's bits as integers
INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)


@triton.jit
def dot(one, other, sums):
    """Add a product to sums in float32, float32 operands in full."""
    if INTERPRETED and one.dtype == tl.bfloat16:
        return tl.dot(one.to(tl.float32), other.to(tl.float32), sums, input_precision="ieee")
    return tl.dot(one, other, sums, input_precision="ieee")
