"""Memory: what is kept for the next request, how running out of it shows, how room is made."""

import contextlib
import ctypes
import gc
import sys
from typing import Any

# What PyTorch's CPU allocator and CUDA's libraries say in a plain RuntimeError.
_SIGNS = ("can't allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")

# From glibc's malloc.h. 32 MiB is the most that its own adjusting of these comes to.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 32 * 1024 * 1024


def keep_freed_memory() -> None:
    """Let the C library keep what a request has freed, up to 32 MiB in each thread's heap.

    It would give an image's pages back to the kernel and have them mapped again, one fault each,
    for the next one: 600 faults, or 1 ms, for a JPEG of 480x640.
    """
    mallopt = _of_the_c_library("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


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
    trim = _of_the_c_library("malloc_trim")
    if trim is not None:
        trim(0)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        with contextlib.suppress(RuntimeError):  # not while a reload's policy captures its graphs
            torch.cuda.empty_cache()


def _of_the_c_library(name: str) -> Any:
    """Find one of glibc's own functions; None where the C library is another."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
