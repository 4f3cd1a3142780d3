"""Background compiler: compiles chunks in its own thread while uncompiled graphs serve.

Nothing waits for that thread, not even the end of the process. The policy's own thread takes over
what it has compiled, and alone captures and replays.
"""

import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from handover_proto import COMPILER_THREAD
from torch import Tensor

from handover_model.engine.cuda.buckets import Bucket

CACHE = Path(".cache", "handover", "compiled")  # in the user's home
MODE = "max-autotune-no-cudagraphs"  # each chunk is captured in a graph of ours afterwards

TURN = threading.Lock()
"""Held while compiling or capturing, which two policies must not do at once, as after a reload.

PyTorch allows one capture at a time in a process, a compiler that measures waits for the whole
device, which breaks a capture, and it identifies its compilations by a number all threads share.
"""

Function = Callable[..., Tensor]
Compile = Callable[[Function, Sequence[Tensor]], Function]


@dataclass(frozen=True)
class Job:
    """A bucket's function, and inputs of its shapes."""

    bucket: Bucket
    function: Function
    inputs: Sequence[Tensor]


class BackgroundCompiler:
    """Compiles jobs in order until one fails or this object is garbage collected.

    It waits after each until it may continue: PyTorch identifies compilations by a number that all
    threads share, so no other may call a compiled function for the first time meanwhile.
    """

    def __init__(self, jobs: Sequence[Job], compile_one: Compile) -> None:
        """Start immediately; the jobs' inputs are copied, since those of a graph change."""
        self._done: queue.SimpleQueue[tuple[Bucket, Function | Exception]] = queue.SimpleQueue()
        self._permits: queue.SimpleQueue[bool] = queue.SimpleQueue()
        copies = [Job(job.bucket, job.function, [x.clone() for x in job.inputs]) for job in jobs]
        # the thread has no reference to this object: once it is collected, it ends with its job
        weakref.finalize(self, self._permits.put, False)
        work = (copies, compile_one, self._done, self._permits)
        threading.Thread(target=_compile_all, args=work, name=COMPILER_THREAD, daemon=True).start()
        self.go_on()

    def take(self) -> tuple[Bucket, Function | Exception] | None:
        """Return the next bucket with its compiled function, or its error; never waits."""
        try:
            return self._done.get_nowait()
        except queue.Empty:
            return None

    def go_on(self) -> None:
        """Let it compile the next, now that the last one has been called."""
        self._permits.put(True)


def compile_whole(function: Function, inputs: Sequence[Tensor]) -> Function:
    """Compile a function in one piece for inputs of these shapes, and run it once.

    The compiled code is kept for the next start: see keep_compiled.
    """
    device = inputs[0].device
    keep_compiled(device)
    # fullgraph: a chunk in pieces is an error; isolated: buckets share code, not compilations
    compiled = torch.compile(  # pyright: ignore[reportCallIssue]
        function, mode=MODE, fullgraph=True, dynamic=False, isolate_recompiles=True
    )
    with torch.no_grad():
        compiled(*inputs)
    return compiled


def keep_compiled(device: torch.device) -> Path:
    """Make PyTorch keep compiled code in the user's own cache instead of the shared /tmp.

    PyTorch finds it again by shapes, options and versions; the folder is per version and device so
    that a stale one can be deleted. It holds code that PyTorch will run, so no other user may write
    there. A folder named by TORCHINDUCTOR_CACHE_DIR is left as it is.
    """
    given = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    if given is not None:
        return Path(given)
    folder = Path.home() / CACHE / name_platform(device)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)  # PyTorch offers nothing else
    return folder


def name_platform(device: torch.device) -> str:
    """Name PyTorch's version and the device, as a file name for compiled code and measurements."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"torch-{torch.__version__}-{name.replace(' ', '-')}"


@cache
def _own_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the one stream for all compilation: cuBLAS keeps a workspace for each it has seen."""
    return torch.cuda.Stream(device)


@contextmanager
def separate_stream(device: torch.device) -> Iterator[None]:
    """Work on a device in a separate stream: no request queues behind a measurement."""
    if device.type != "cuda":
        yield
        return
    stream = _own_stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))  # until the inputs are copied
    with torch.cuda.device(device), torch.cuda.stream(stream):
        yield
        stream.synchronize()  # not the device: that breaks what another thread captures


def _compile_all(
    jobs: list[Job],
    compile_one: Compile,
    done: "queue.SimpleQueue[tuple[Bucket, Function | Exception]]",
    permits: "queue.SimpleQueue[bool]",
) -> None:
    for job in jobs:
        if not permits.get():
            return
        try:
            with TURN, separate_stream(job.inputs[0].device):
                compiled = compile_one(job.function, job.inputs)
        except Exception as error:  # whatever a compiler raises, the uncompiled graphs serve
            done.put((job.bucket, error))
            return
        done.put((job.bucket, compiled))
