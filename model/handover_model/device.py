"""Choice of the device of a policy, and a one-line reason why torch cannot use a GPU."""

import os
import re

import torch

from handover_model.errors import ModalityError

_DRIVER = re.compile(r"(The NVIDIA driver on your system is too old[^.]*\.|[^.\n]+)")


def choose_device(name: str) -> torch.device:
    """Return the device of a name; auto is the GPU if there is one.

    Raises ModalityError for an unknown name, and for a GPU that torch cannot use here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    expected = f"device is {name!r}, expected auto, cpu, cuda or cuda:N"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModalityError(expected) from error
    if device.type not in ("cpu", "cuda"):
        raise ModalityError(expected)
    if device.type == "cuda":
        _check_gpu(name, device.index or 0)
    return device


def _check_gpu(name: str, index: int) -> None:
    if not torch.cuda.is_available():
        raise ModalityError(f"device is {name!r}, but {why_no_gpu()}; or use --device cpu")
    count = torch.cuda.device_count()
    if index >= count:
        raise ModalityError(
            f"device is {name!r}, but there are {count} GPUs: expected cuda:0 to cuda:{count - 1}"
        )


def why_no_gpu() -> str:
    """Return why torch has no GPU, and what to do: its build, the driver, or no visible GPU."""
    if torch.version.cuda is None:
        return "this torch is built for CPUs: install the one for CUDA (pytorch.org/get-started)"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        said = _DRIVER.match(str(error).strip())
        if said and "too old" in said[0]:
            found = re.search(r"found version (\d+)", str(error))
            version = f" (it knows CUDA {_cuda_version(int(found[1]))})" if found else ""
            return (
                f"the NVIDIA driver is too old for this torch{version}, which is built for CUDA "
                f"{torch.version.cuda}: update the driver, or install a torch for an older CUDA"
            )
        return f"torch sees no GPU ({said[0].strip() if said else error}): see nvidia-smi"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = f" (CUDA_VISIBLE_DEVICES is {visible!r})" if visible is not None else ""
    return f"torch sees no GPU{hidden}: see nvidia-smi"


def _cuda_version(number: int) -> str:
    """Format the driver's number of CUDA's version: 12020 is 12.2."""
    return f"{number // 1000}.{number % 1000 // 10}"
