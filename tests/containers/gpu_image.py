"""Looks inside the GPU server's image and prints what it finds as JSON; gpu_image.sh runs it there.

It needs no GPU: the C compiler builds a program and Triton's launcher, and Triton's compiler makes
code for a GPU that is not here. What only a GPU can tell is left to `benchmarks.gpu_day`.
"""

import importlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

PROGRAM = '#include <stdio.h>\nint main(void) { puts("compiled"); return 0; }\n'
PARTS = 12  # the largest packages that are listed; the others are added up


def main() -> int:
    """Print everything as JSON; 1 if something that a GPU server needs is not there."""
    scratch = Path(tempfile.mkdtemp(dir="/compiled"))
    found = {
        "torch": torch_build(),
        "compiler": compile_and_run(scratch),
        "python_headers": Path(sysconfig.get_paths()["include"], "Python.h").exists(),
        "imports": import_all(),
        "kernels_for_h100": compile_kernels(),
        "triton_launcher": compile_launcher(scratch),
        "packages_mb": package_sizes(),
    }
    print(json.dumps(found, indent=2))
    needed = (found["torch"]["cuda"], found["compiler"]["printed"] == "compiled")
    return 0 if all(needed) and found["triton_launcher"] == "compiles" else 1


def torch_build() -> dict[str, Any]:
    """Return which PyTorch this is, and what it says of a host without a GPU."""
    import torch
    from handover_model.device import choose_device, why_no_gpu

    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "gpus": torch.cuda.device_count(),
        "why_no_gpu": why_no_gpu() if not torch.cuda.is_available() else None,
        "auto_device": str(choose_device("auto")),
    }


def compile_and_run(scratch: Path) -> dict[str, str]:
    """Return the C compiler's version and what a program that it compiled prints."""
    source, program = scratch / "program.c", scratch / "program"
    source.write_text(PROGRAM)
    subprocess.run(["gcc", "-O2", source, "-o", program], check=True)
    said = subprocess.run(["gcc", "--version"], check=True, capture_output=True, text=True).stdout
    printed = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return {"version": said.splitlines()[0], "printed": printed.strip()}


def import_all() -> list[str]:
    """Import what a GPU server loads late: the compilers, the engine for CUDA, our kernels."""
    names = [
        "torch._inductor.compile_fx",
        "torch._dynamo",
        "triton.compiler",
        "handover_model.engine.cuda.engine",
        "handover_model.engine.cuda.triton_kernels.skinny_linear",
        "handover_model.engine.cuda.triton_kernels.small_attention",
        "handover_server.serve.run",
    ]
    for name in names:
        importlib.import_module(name)
    return names


def compile_kernels() -> int:
    """Return how many of Handover's kernels became machine code for an H100, by ptxas."""
    program = Path(__file__).parents[1] / "model/engine/cuda/compile_kernels.py"
    done = subprocess.run([sys.executable, program], check=True, capture_output=True, text=True)
    return len(done.stdout.splitlines())


def compile_launcher(scratch: Path) -> str:
    """Say whether the C that Triton starts kernels with compiles; a driver in name only is there.

    Loaded it then lacks the driver's functions alone, as everywhere without a GPU.
    """
    from triton.backends.nvidia.driver import CudaUtils

    driver = ["gcc", "-shared", "-x", "c", os.devnull, "-o", scratch / "libcuda.so.1"]
    subprocess.run(driver, check=True)
    os.environ["TRITON_LIBCUDA_PATH"] = str(scratch)
    try:
        CudaUtils()
    except subprocess.CalledProcessError:
        return "does not compile"
    except ImportError as error:
        missing = re.search(r"undefined symbol: (cu[A-Z]\w+)", str(error))
        return "compiles" if missing else str(error)
    return "compiles"


def package_sizes() -> dict[str, dict[str, Any]]:
    """Return version and megabytes on disk of the largest packages, and of the rest together."""
    rows = []
    for package in importlib.metadata.distributions():
        files = {Path(str(package.locate_file(file))) for file in package.files or ()}
        size = sum(os.lstat(file).st_size for file in files if file.exists())
        rows.append((size, package.metadata["Name"], package.version))
    rows.sort(reverse=True)
    shown = {
        name: {"version": version, "mb": round(size / 1e6, 1)}
        for size, name, version in rows[:PARTS]
    }
    rest = rows[PARTS:]
    return shown | {
        f"the other {len(rest)}": {"mb": round(sum(size for size, *_ in rest) / 1e6, 1)},
        "all": {"mb": round(sum(size for size, *_ in rows) / 1e6, 1)},
    }


if __name__ == "__main__":
    raise SystemExit(main())
