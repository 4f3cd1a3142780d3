"""Whether the GPU still answers this process."""

import sys


def gpu_is_lost() -> bool:
    """Tell whether CUDA refuses whatever it is asked, as after an illegal address.

    Such an error stays until the process ends, so that every later request would fail. Only the
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
