"""Running out of memory: how it shows, whatever library says it, and how room is made."""

import gc
import sys

# What PyTorch's CPU allocator and CUDA's libraries say in a plain RuntimeError.
_SIGNS = ("can't allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")


def ran_out_of_memory(error: BaseException) -> bool:
    """Tell whether `error` says that memory, of the host or of a GPU, was not to be had."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")  # loaded by the policy, if at all
    known = getattr(torch, "OutOfMemoryError", None)
    if known is not None and isinstance(error, known):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def release_memory() -> None:
    """Give back what nothing refers to, on the host and in PyTorch's cache on the GPU.

    To be called where no exception is being handled: its traceback holds the batch's tensors.
    """
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
