"""Compiles the kernels for an H100 as they are started there; a line for each."""

import triton
from handover_model.engine.cuda.kernel_selection import CUTS
from handover_model.engine.cuda.triton_kernels import skinny_linear, small_attention
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

H100 = GPUTarget("cuda", 90, 32)
POINTERS = {"partial": "*fp32", "input_scale": "*fp32", "weight_scale": "*fp32", "mask": "*i1"}
SCALARS = {"eps": "fp32", "scale": "fp32"}
TENSORS = (
    *("tokens", "weight", "norm_weight", "norm_bias", "bias", "residual", "out"),
    *("query", "key", "value"),
)


def compile_for_h100(kernel, constants, pointers=(), **options):
    """Compile with bfloat16 tensors and sizes that 16 divides, but for the rows."""
    types = {name: "*bf16" for name in TENSORS} | POINTERS | SCALARS | dict(pointers)
    names = kernel.arg_names
    signature = {
        name: "constexpr" if name in constants else types.get(name, "i32") for name in names
    }
    unaligned = ("rows", "queries", "keys", "heads", *SCALARS, *constants)
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(names)
        if name not in unaligned
    }
    values = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(kernel, signature=signature, constexprs=values, attrs=aligned)
    code = triton.compile(source, target=H100, options=options).asm["ptx"]
    print(kernel.__name__, " ".join(word for word in ("wgmma", "mma.sync") if word in code))


def main():
    after = {"BIAS": True, "GELU": True, "RESIDUAL": True}
    for fp8 in (False, True):
        for norm in (False, True):
            for outputs, inputs, splits, warps, stages in CUTS:
                constants = {"NORM": norm, "FP8": fp8, "SPLITS": splits, **after}
                constants |= {"BLOCK_ROWS": 64, "BLOCK_OUT": outputs, "BLOCK_IN": inputs}
                compile_for_h100(
                    skinny_linear.product_kernel,
                    constants,
                    {"weight": "*fp8e4nv"} if fp8 else {},
                    num_warps=warps,
                    num_stages=stages,
                )
    blocks = {"SPLITS": 4, "BLOCK_ROWS": 16, "BLOCK_OUT": 32}
    compile_for_h100(skinny_linear.add_splits_kernel, {**after, **blocks}, num_warps=4)
    for size, padded in ((48, 64), (72, 128)):
        constants = {"MASK": True, "SIZE": size, "BLOCK_SIZE": padded}
        blocks = (small_attention.QUERIES, small_attention.KEYS)
        constants |= dict(zip(("BLOCK_QUERIES", "BLOCK_KEYS"), blocks, strict=True))
        compile_for_h100(small_attention.attention_kernel, constants, num_warps=4, num_stages=2)


if __name__ == "__main__":
    main()
