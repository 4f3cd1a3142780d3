"""Memory of host and GPU: glibc's malloc tuned for requests, out-of-memory errors, a lost GPU.

Without the tuning each decoded JPEG of 480x640 costs 1 ms of page faults (`keep_freed_memory`).
"""

import contextlib
import ctypes
import gc
import sys
from typing import Any

# What PyTorch's CPU allocator and CUDA's libraries say in a plain RuntimeError.
_SIGNS = ("can't allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")

# From glibc's malloc.h. 32 MiB is the most that its own adjusting of these comes to. What is larger
# than a raw frame of 1080p is mapped and given back by itself: a heap keeps what lies below others.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_HEAPS = 2  # gRPC's threads come and go: each would leave a heap with something in its middle
_KEPT_BYTES, _MAPPED_BYTES = 32 * 1024 * 1024, 8 * 1024 * 1024


def keep_freed_memory() -> None:
    """Make the C library keep what a request has freed, up to 32 MiB in each thread's heap.

    By default it returns an image's pages to the kernel and maps them again, one fault each, for
    the next image: 600 faults, or 1 ms, for a JPEG of 480x640.
    """
    mallopt = _glibc_function("mallopt")
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _HEAPS)
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def ran_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` means that the host or a GPU has run out of memory."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")  # loaded by the policy, if at all
    known = getattr(torch, "OutOfMemoryError", None)
    if known is not None and isinstance(error, known):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def release_memory() -> None:
    """Free what nothing refers to, on the host and in PyTorch's cache on the GPU.

    Call it where no exception is being handled: a traceback would hold the batch's tensors.
    """
    gc.collect()
    trim_memory()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        with contextlib.suppress(RuntimeError):  # not while a reload's policy captures its graphs
            torch.cuda.empty_cache()


def trim_memory() -> None:
    """Return what was freed on the host to the kernel."""
    trim = _glibc_function("malloc_trim")
    if trim is not None:
        trim(0)


def gpu_is_lost() -> bool:
    """Return whether CUDA refuses every call, as after an illegal address.

    Such an error stays until the process ends, so every later request would fail. Only the
    current stream is waited for: waiting for the device breaks what another thread captures.
    """
    torch = sys.modules.get("torch")  # loaded by the policy, if at all
    if torch is None or not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.current_stream().synchronize()
    except RuntimeError:
        return True
    return False


def _glibc_function(name: str) -> Any:
    """Return one of glibc's own functions; None where the C library is another."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
